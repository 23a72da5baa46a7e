package shmring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// chunkConfig is that of the rings that hostile chunks are sent to.
func chunkConfig(many bool) Config {
	config := testConfig(CapacityBytesMin)
	config.Timestamps, config.Many, config.RecordMax = false, many, 1000
	return config
}

// goodChunk is three records at the mirror's end, whose payload is their number.
func goodChunk(m *Mirror) (c Chunk, body []byte) {
	end := m.End()
	c = Chunk{Position: end.Position, Sequence: end.Sequence, Records: 3}
	var b []byte
	pos := end.Position
	for i, n := range []int{8, 100, 40} {
		b = append(b, record(m, pos, end.Sequence+uint64(i), n)...)
		pos = end.Position + uint64(len(b))
	}
	c.Bytes = len(b)
	copy(c.First[:], b)
	return c, b[16:]
}

// offer places and commits.
func offer(m *Mirror, c Chunk, body []byte) error {
	b, err := m.Place(c.Position, c.Bytes)
	if err != nil {
		return err
	}
	copy(b, body)
	return m.Commit(c)
}

// wantClean says that no reader sees anything behind the mirror's end, nor ever will.
func wantClean(t *testing.T, h *heapRing, m *Mirror) {
	t.Helper()
	end := m.End()
	for pos := end.Position; pos < load64(h.b, offAnnounce); pos += recordAlign {
		if h.kindAt(load64(h.b, h.at(pos)), pos) != 0 {
			t.Fatalf("a part at position %d, the mirror ends at %d", pos, end.Position)
		}
	}
	if again := h.mirror(t, MirrorOptions{}); again.End() != end {
		t.Fatalf("opened anew it ends at %+v, not %+v", again.End(), end)
	}
}

// Each way a chunk can be wrong is refused, leaves nothing, and a good one follows.
func TestHostileChunks(t *testing.T) {
	le := binary.LittleEndian
	second := func(b []byte) []byte { return b[32-16:] } // header words of the second record
	for name, change := range map[string]func(m *Mirror, c *Chunk, body []byte){
		"first commit word":      func(m *Mirror, c *Chunk, _ []byte) { c.First[0] ^= 0x10 },
		"first word of no kind":  func(m *Mirror, c *Chunk, _ []byte) { le.PutUint64(c.First[:], m.commitWord(c.Position, 6)) },
		"key":                    func(m *Mirror, c *Chunk, _ []byte) { le.PutUint64(c.First[:], c.Position|kindData) },
		"second commit word":     func(_ *Mirror, _ *Chunk, b []byte) { second(b)[1] ^= 1 },
		"a jump":                 func(m *Mirror, c *Chunk, _ []byte) { le.PutUint64(c.First[:], m.commitWord(c.Position, kindJump)) },
		"a jump inside":          func(m *Mirror, c *Chunk, b []byte) { le.PutUint64(second(b), m.commitWord(c.Position+32, kindJump)) },
		"length past record_max": func(_ *Mirror, _ *Chunk, b []byte) { le.PutUint32(second(b)[8:], 1001) },
		"length past the chunk":  func(_ *Mirror, _ *Chunk, b []byte) { le.PutUint32(second(b)[8:], 500) },
		"length within":          func(_ *Mirror, c *Chunk, _ []byte) { le.PutUint32(c.First[8:], 24) },
		"pad of no length": func(m *Mirror, c *Chunk, b []byte) {
			le.PutUint64(second(b), m.commitWord(c.Position+32, kindPad))
			le.PutUint64(second(b)[8:], 0)
		},
		"pad of 24": func(m *Mirror, c *Chunk, b []byte) {
			le.PutUint64(second(b), m.commitWord(c.Position+32, kindPad))
			le.PutUint64(second(b)[8:], 24)
		},
		"pad that counts": func(m *Mirror, c *Chunk, b []byte) {
			le.PutUint64(second(b), m.commitWord(c.Position+32, kindPad))
			le.PutUint64(second(b)[8:], 128|1<<32)
		},
		"gap that counts too much": func(m *Mirror, c *Chunk, b []byte) {
			le.PutUint64(second(b), m.commitWord(c.Position+32, kindGap))
			le.PutUint64(second(b)[8:], 128|9<<32)
		},
		"gap not announced": func(m *Mirror, c *Chunk, b []byte) {
			le.PutUint64(second(b), m.commitWord(c.Position+32, kindGap))
			le.PutUint64(second(b)[8:], 128|2<<32)
		},
		"end that counts": func(m *Mirror, c *Chunk, b []byte) {
			le.PutUint64(second(b), m.commitWord(c.Position+32, kindEnd))
			le.PutUint64(second(b)[8:], 128|1<<32)
		},
		"reserved aux bit":   func(_ *Mirror, _ *Chunk, b []byte) { second(b)[14] = 1 },
		"owner out of range": func(_ *Mirror, _ *Chunk, b []byte) { second(b)[15] = 64 },
		"records too few":    func(_ *Mirror, c *Chunk, _ []byte) { c.Records-- },
		"records too many":   func(_ *Mirror, c *Chunk, _ []byte) { c.Records++ },
		"sequence":           func(_ *Mirror, c *Chunk, _ []byte) { c.Sequence++ },
		"bytes":              func(_ *Mirror, c *Chunk, _ []byte) { c.Bytes -= 16 },
	} {
		for _, many := range []bool{false, true} {
			h, m := mirrorOf(t, chunkConfig(many), boundary{4096, 5}, MirrorOptions{})
			reader := h.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest()})
			for range 3 {
				if _, _, err := m.Progress(); err != nil {
					t.Fatal(err)
				}
				c, body := goodChunk(m)
				placed := c.Bytes
				change(m, &c, body)
				b, err := m.Place(c.Position, placed)
				if err != nil {
					t.Fatal(err)
				}
				copy(b, body)
				var refused *ChunkError
				if err := m.Commit(c); !errors.As(err, &refused) || refused.Reason == "" {
					t.Fatalf("%s: %v", name, err)
				}
				wantEmpty(t, reader)
				wantClean(t, h, m)
				if c, body = goodChunk(m); offer(m, c, body) != nil {
					t.Fatalf("%s: the next good chunk is refused", name)
				}
				for range 3 {
					if r, err := reader.TryReceive(); err != nil || le.Uint64(r.Payload) != r.Sequence {
						t.Fatalf("%s: %+v %v", name, r, err)
					}
				}
				wantEmpty(t, reader)
			}
		}
	}
}

// A producer's number is right in a mirror of many, and wrong in one of one.
func TestChunkOwner(t *testing.T) {
	for _, many := range []bool{false, true} {
		_, m := mirrorOf(t, chunkConfig(many), boundary{}, MirrorOptions{})
		if _, _, err := m.Progress(); err != nil {
			t.Fatal(err)
		}
		c, body := goodChunk(m)
		c.First[15] = 63
		if err := offer(m, c, body); (err == nil) != many {
			t.Fatalf("many %v: %v", many, err)
		}
	}
}

// Place at and past each of its limits.
func TestPlaceLimits(t *testing.T) {
	config := chunkConfig(false)
	h, m := mirrorOf(t, config, boundary{}, MirrorOptions{})
	var refused *ChunkError
	if _, err := m.Place(0, 16); !errors.As(err, &refused) {
		t.Fatalf("before anything is granted: %v", err)
	}
	_, limit, err := m.Progress()
	if err != nil || limit != m.capacity/4 {
		t.Fatal(limit, err)
	}
	for _, bad := range []struct {
		pos uint64
		n   int
	}{{16, 64}, {0, 0}, {0, -16}, {0, 8}, {0, 24}, {0, config.ChunkBytesMax() + 16}} {
		if _, err := m.Place(bad.pos, bad.n); !errors.As(err, &refused) {
			t.Fatalf("%+v: %v", bad, err)
		}
	}
	for _, n := range []int{16, config.ChunkBytesMax()} {
		if b, err := m.Place(0, n); err != nil || len(b) != n-16 || cap(b) != n-16 {
			t.Fatal(n, len(b), err)
		}
	}
	if err := m.Commit(Chunk{}); !errors.As(err, &refused) {
		t.Fatalf("a chunk that was not placed: %v", err)
	}
	if err := m.Jump(m.capacity-64, 0); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Progress(); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Place(m.capacity-64, 80); !errors.As(err, &refused) {
		t.Fatalf("across the ring's end: %v", err)
	}
	if b, err := m.Place(m.capacity-64, 64); err != nil || len(b) != 48 {
		t.Fatal(len(b), err)
	}
	for _, bad := range [][2]uint64{{m.tail, 0}, {m.tail - 16, 0}, {m.tail + 8, 0}, {m.tail + 16, 2}, {m.tail + 160, 11}, {positionMax, 0}, {^uint64(0) - 15, 0}} {
		if err := m.Jump(bad[0], bad[1]); !errors.As(err, &refused) {
			t.Fatalf("jump to %d over %d: %v", bad[0], bad[1], err)
		}
	}
	// A reader that holds the ring: exactly what its gate allows, and no byte more.
	reader := h.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest()})
	for {
		_, limit, err := m.Progress()
		if err != nil {
			t.Fatal(err)
		}
		if limit == m.tail {
			break
		}
		n := min(limit-m.tail, m.capacity-m.tail&m.mask, uint64(config.ChunkBytesMax()))
		if _, err := m.Place(m.tail, int(n)+16); err == nil && n == limit-m.tail {
			t.Fatalf("%d bytes past the limit", 16)
		}
		c := Chunk{Position: m.tail, Sequence: m.seq, Bytes: int(n)}
		copy(c.First[:], partBytes(m, m.tail, kindPad, n, 16))
		if err := offer(m, c, nil); err != nil {
			t.Fatal(err)
		}
	}
	if m.tail != reader.pos+m.capacity-tailGuardBytes {
		t.Fatalf("the mirror ends at %d, its reader is at %d", m.tail, reader.pos)
	}
	if err := m.Jump(m.tail+1<<20, 0); !errors.As(err, &refused) {
		t.Fatalf("a jump without room: %v", err)
	}
}

// A hostile origin lays out what would be a part, for the next lap and behind a
// chunk that it takes back: no reader ever sees it.
func TestForgedTail(t *testing.T) {
	config := chunkConfig(false)
	h, m := mirrorOf(t, config, boundary{}, MirrorOptions{})
	reader := h.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest()})
	send := func(payload []byte) {
		t.Helper()
		if _, _, err := m.Progress(); err != nil {
			t.Fatal(err)
		}
		b := partBytes(m, m.tail, kindData, uint64(len(payload)), int(m.frameBytes(uint64(len(payload)))))
		copy(b[16:], payload)
		c := Chunk{Position: m.tail, Sequence: m.seq, Records: 1, Bytes: len(b)}
		copy(c.First[:], b)
		if err := offer(m, c, b[16:]); err != nil {
			t.Fatal(err)
		}
		mustReceive(t, reader, payload)
		wantEmpty(t, reader)
	}
	// Every 16 bytes of each payload are a whole record of the next lap.
	for m.tail < 3*m.capacity {
		n := min(992, m.capacity-m.tail&m.mask-16)
		forged := make([]byte, 0, n)
		for pos := m.tail + 16 + m.capacity; uint64(len(forged)) < n; pos += 16 {
			forged = append(forged, partBytes(m, pos, kindData, 0, 16)...)
		}
		send(forged)
		if m.tail&m.mask > 5000 { // and shift, so that the next end is where one was forged
			send(nil)
		}
	}
	// A jump to a forged part, on memory that may still be read.
	if room := m.capacity - m.tail&m.mask; room < 4096 {
		if err := m.Jump(m.tail+room, 0); err != nil {
			t.Fatal(err)
		}
	}
	target := m.tail + 32 + 8*m.capacity
	send(partBytes(m, target-16, kindData, 0, 16))
	send(partBytes(m, target, kindData, 0, 16)) // not where it would have to be
	var refused *ChunkError
	if err := m.Jump(target-16, 0); !errors.As(err, &refused) {
		t.Fatalf("a jump to a forged part: %v", err)
	}
	if err := m.Jump(target, 0); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, reader)
	// A chunk that is taken back, then a shorter one in its place.
	if _, _, err := m.Progress(); err != nil {
		t.Fatal(err)
	}
	if m.capacity-m.tail&m.mask < 4096 {
		if err := m.Jump(m.tail+4096, 0); err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.Progress(); err != nil {
			t.Fatal(err)
		}
	}
	b, err := m.Place(m.tail, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for pos := m.tail + 16; pos < m.tail+2048; pos += 16 {
		copy(b[pos-m.tail-16:], partBytes(m, pos, kindData, 0, 16))
	}
	for range 5 {
		send(bytes.Repeat([]byte{1}, 32))
		if again := h.mirror(t, MirrorOptions{}); again.End() != m.End() {
			t.Fatalf("opened anew it ends at %+v, not %+v", again.End(), m.End())
		}
	}
}
