//go:build !ringmodel

package shmring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"
)

// The hammer of a mirror: its writer is a process of its own, killed at any
// instruction. It makes up its origin: what comes at a position follows from the
// seed and that position alone, so every life sends the same.
const (
	mirrorHammerEnv  = "SHMRING_MIRROR_HAMMER"
	mirrorHammerTime = 5 * time.Second
)

// originAt is what the made-up origin has at a boundary: a chunk (end, records,
// bytes), or a hole, when bytes is nil.
func originAt(g *geometry, seed uint64, at boundary) (end boundary, bytes []byte) {
	rng := rand.New(rand.NewPCG(seed, at.pos))
	if rng.IntN(50) == 0 {
		hole := 16 * (1 + rng.Uint64N(200))
		if rng.IntN(10) == 0 {
			hole = 16 * (1 + rng.Uint64N(2*g.capacity/16))
		}
		return boundary{at.pos + hole, at.seq + rng.Uint64N(hole/16+1)}, nil
	}
	room := min(g.capacity-at.pos&g.mask, g.spanMax)
	end = at
	for range 1 + rng.IntN(30) {
		n := 8 + 8*rng.Uint64N(60)
		frame := g.frameBytes(n)
		used := end.pos - at.pos
		if used+frame > room {
			break
		}
		b := make([]byte, frame)
		binary.LittleEndian.PutUint64(b, g.commitWord(end.pos, kindData))
		binary.LittleEndian.PutUint64(b[8:], n)
		for off := g.bodyOff; off < g.bodyOff+n; off += 8 {
			binary.LittleEndian.PutUint64(b[off:], seed^end.pos^end.seq<<32)
		}
		bytes = append(bytes, b...)
		end.pos, end.seq = end.pos+frame, end.seq+1
	}
	if bytes == nil { // to the ring's end
		bytes = make([]byte, room)
		binary.LittleEndian.PutUint64(bytes, g.commitWord(at.pos, kindPad))
		binary.LittleEndian.PutUint64(bytes[8:], room)
		end.pos += room
	}
	return end, bytes
}

// mirrorHammerChild writes the mirror until it is killed; every now and then what
// it places is not the origin's, and is refused or never committed.
func mirrorHammerChild(args []string) error {
	n, err := hammerNumbers(args)
	if err != nil {
		return err
	}
	seed, life := n[0], n[1]
	data := os.NewFile(3, "data")
	cursors := []*os.File{os.NewFile(4, "cursor"), os.NewFile(5, "cursor"), os.NewFile(6, "cursor"), os.NewFile(7, "cursor")}
	m, err := OpenMirror(data, cursors, MirrorOptions{})
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(seed, life))
	for {
		_, limit, err := m.Progress()
		if err != nil {
			return err
		}
		at := m.End().boundary()
		end, bytes := originAt(&m.geometry, seed, at)
		if need := uint64(max(len(bytes), JumpBytesMax)); limit-at.pos < need {
			time.Sleep(50 * time.Microsecond)
			continue
		}
		if bytes == nil {
			err = m.Jump(end.pos, end.seq-at.seq)
		} else {
			err = mirrorHammerChunk(m, rng, at, end, bytes)
		}
		if err != nil {
			return err
		}
	}
}

func mirrorHammerChunk(m *Mirror, rng *rand.Rand, at, end boundary, bytes []byte) error {
	c := Chunk{Position: at.pos, Sequence: at.seq, Records: end.seq - at.seq, Bytes: len(bytes), First: [16]byte(bytes)}
	if rng.IntN(4) == 0 { // garbage that looks like parts at every place
		b, err := m.Place(at.pos, len(bytes))
		if err != nil {
			return err
		}
		for pos := at.pos + 16; pos < end.pos; pos += 16 {
			binary.LittleEndian.PutUint64(b[pos-at.pos-16:], m.commitWord(pos, kindData))
			binary.LittleEndian.PutUint64(b[pos-at.pos-8:], 0)
		}
		bad := c
		bad.Records += 1000
		if rng.IntN(2) == 0 {
			if err := m.Commit(bad); err == nil {
				return errors.New("a bad chunk was committed")
			}
		}
	}
	b, err := m.Place(at.pos, len(bytes))
	if err != nil {
		return err
	}
	copy(b, bytes[16:])
	return m.Commit(c)
}

// mirrorReader reads a mirror and compares it with the origin.
type mirrorReader struct {
	c    *Consumer
	seed uint64
	err  error
}

func (r *mirrorReader) run(ctx context.Context) {
	for {
		rec, err := r.c.Receive(ctx)
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				r.err = err
			}
			return
		}
		for off := 0; off < len(rec.Payload); off += 8 {
			if got := binary.LittleEndian.Uint64(rec.Payload[off:]); got != r.seed^rec.Position^rec.Sequence<<32 {
				r.err = fmt.Errorf("record %d at %d holds %#x at %d", rec.Sequence, rec.Position, got, off)
				return
			}
		}
	}
}

// A mirror's writer killed at any instruction: readers see exactly the origin's
// records, where they are in the origin, and the books of each balance.
func TestHammerMirror(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	config := testConfig(CapacityBytesMin)
	config.Timestamps, config.Mirror = false, true
	ring := tmpfsRing(t, config)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var readers []*mirrorReader
	var read sync.WaitGroup
	for slot, policy := range []Policy{PolicyBlock, PolicySkip, PolicyLatest, PolicyDemote} {
		r := &mirrorReader{c: openConsumer(t, ring, slot, policy), seed: seed}
		readers = append(readers, r)
		read.Go(func() { r.run(ctx) })
	}
	rng := rand.New(rand.NewPCG(seed, 7))
	lives := 0
	for until := time.Now().Add(mirrorHammerTime); time.Now().Before(until); lives++ {
		if err := mirrorHammerLife(ring, rng, seed, lives); err != nil {
			t.Fatalf("seed %d, life %d: %v", seed, lives, err)
		}
	}
	m := lendMirror(t, ring, MirrorOptions{})
	end := m.End()
	want, held := replay(&m.geometry, seed, end)
	if !held {
		t.Fatalf("seed %d: the mirror ends at %+v, which is no place of the origin", seed, end)
	}
	waitConsumers(ring, len(readers), end.Position)
	stop()
	read.Wait()
	for _, r := range readers {
		if r.err != nil {
			t.Errorf("seed %d: %s: %v", seed, r.c.policy, r.err)
		}
		s := balanced(t, r.c, 0)
		if s.Sequence != end.Sequence || s.Position != end.Position {
			t.Errorf("seed %d: %+v, the mirror ends at %+v", seed, s, end)
		}
		if s.Policy == PolicyBlock && (s.Delivered != want || s.MissedRecords != 0 || s.Delivered+s.GapRecords != end.Sequence) {
			t.Errorf("seed %d: %+v, the origin sent %d records", seed, s, want)
		}
	}
	fmt.Printf("counts: mirror hammer: seed %d: %d lives killed, %d records, %d in holes\n", seed, lives, want, end.Sequence-want)
}

// replay walks the made-up origin to end and counts its records.
func replay(g *geometry, seed uint64, end Boundary) (records uint64, held bool) {
	for at := (boundary{}); ; {
		if at == end.boundary() {
			return records, true
		}
		next, bytes := originAt(g, seed, at)
		if at.pos > end.Position {
			return records, false
		}
		if bytes != nil {
			records += next.seq - at.seq
		}
		at = next
	}
}

func mirrorHammerLife(ring *Ring, rng *rand.Rand, seed uint64, life int) error {
	data, cursors, err := ring.LendProducer()
	if err != nil {
		return err
	}
	child, err := startVictim(fmt.Sprintf("%s=%d %d", mirrorHammerEnv, seed, life), append([]*os.File{data}, cursors...))
	if err != nil {
		return err
	}
	before := load64(ring.b, offAnnounce)
	for deadline := time.Now().Add(5 * time.Second); load64(ring.b, offAnnounce) == before && time.Now().Before(deadline); {
		time.Sleep(50 * time.Microsecond)
	}
	time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
	return child.kill()
}
