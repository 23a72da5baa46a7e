package shmring

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// mirrorOf makes the mirror ring of an origin, on the heap, and its writer.
func mirrorOf(t testing.TB, origin Config, start boundary, o MirrorOptions) (*heapRing, *Mirror) {
	t.Helper()
	origin.Mirror = true
	h := newHeapRingAt(t, origin, start)
	return h, h.mirror(t, o)
}

func (h *heapRing) mirror(t testing.TB, o MirrorOptions) *Mirror {
	t.Helper()
	m := mirrorOver(mapping{data: h.b, cursors: h.m.cursors}, h.config, o)
	if err := m.openGuarded(); err != nil {
		t.Fatal(err)
	}
	return m
}

// chunkOf is a span as a link would send it.
func chunkOf(s Span) (c Chunk, body []byte) {
	c = Chunk{Position: s.Position, Sequence: s.Sequence, Records: s.Records, Bytes: len(s.Bytes)}
	copy(c.First[:], s.Bytes)
	return c, s.Bytes[len(c.First):]
}

// deliver puts a span into a mirror, with a jump before it where there is a hole;
// jumped lets readers step over it.
func deliver(m *Mirror, s Span, jumped func()) error {
	if end := m.End(); end.Position != s.Position {
		if err := m.Jump(s.Position, s.Sequence-end.Sequence); err != nil {
			return fmt.Errorf("jump: %w", err)
		}
		jumped()
		if _, _, err := m.Progress(); err != nil {
			return err
		}
	}
	c, body := chunkOf(s)
	b, err := m.Place(s.Position, len(s.Bytes))
	if err != nil {
		return fmt.Errorf("place: %w", err)
	}
	copy(b, body)
	return m.Commit(c)
}

// pump moves what the origin's reader has and the mirror admits.
func pump(t testing.TB, from *Consumer, m *Mirror, limit int) (moved bool) {
	t.Helper()
	for {
		_, credit, err := m.Progress()
		if err != nil {
			t.Fatal(err)
		}
		room := int(credit - m.End().Position)
		if room < int(m.need)+JumpBytesMax {
			return moved
		}
		s, err := from.NextSpan(min(limit, room-JumpBytesMax))
		if err == ErrEmpty {
			return moved
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := deliver(m, s, func() {}); err != nil {
			t.Fatalf("span at %d of %d bytes, end %+v, credit %d: %v", s.Position, len(s.Bytes), m.End(), credit, err)
		}
		if err := from.Release(m.End()); err != nil {
			t.Fatal(err)
		}
		moved = true
	}
}

// count is what a reader may lose: its books must balance.
func balanced(t testing.TB, c *Consumer, start uint64) ConsumerStats {
	t.Helper()
	s := c.Stats()
	if start+s.Delivered+s.MissedRecords+s.GapRecords+s.Filtered+s.ChecksumErrors != s.Sequence {
		t.Fatalf("%s: started at record %d: %+v", s.Policy, start, s)
	}
	return s
}

// Everything an origin holds, records of all sizes, ends, pads, comes through a
// mirror at the same positions, for every kind of ring and reader.
func TestMirrorEqualsOrigin(t *testing.T) {
	for _, many := range []bool{false, true} {
		for _, limit := range []int{1, 500, 1 << 20} {
			config := testConfig(CapacityBytesMin)
			config.Many, config.Checksum, config.Timestamps = many, many, !many
			origin := newHeapRing(t, config)
			p := origin.producer(t, ProducerOptions{Tag: 7})
			feed := origin.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest(), Spans: true})
			mirror, m := mirrorOf(t, config, boundary{}, MirrorOptions{})
			readers := []*Consumer{
				mirror.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest()}),
				mirror.consumer(t, 1, PolicyDemote, ConsumerOptions{From: FromOldest()}),
				mirror.consumer(t, 2, PolicySkip, ConsumerOptions{From: FromOldest()}),
			}
			ends := 0
			for i := range 2000 {
				switch {
				case i%97 == 0:
					if err := p.End(t.Context()); err != nil {
						t.Fatal(err)
					}
				case many && i%13 == 0:
					if _, err := p.Reserve(t.Context(), i%100); err != nil {
						t.Fatal(err)
					}
					if err := p.Abort(); err != nil {
						t.Fatal(err)
					}
				default:
					mustSend(t, p, payload(i, i*i%3000))
				}
				pump(t, feed, m, limit)
				if m.End() != (Boundary{p.Position(), p.Sequence()}) {
					t.Fatalf("mirror ends at %+v, origin at %d, %d", m.End(), p.Position(), p.Sequence())
				}
				for _, c := range readers {
					r, err := c.TryReceive()
					switch {
					case i%97 == 0:
						if err != ErrEndOfStream {
							t.Fatalf("want the end of the stream: %v", err)
						}
						ends++
					case many && i%13 == 0:
						if err != ErrEmpty {
							t.Fatalf("an aborted record: %v", err)
						}
					default:
						if err != nil || string(r.Payload) != string(payload(i, i*i%3000)) || r.Tag != 7 || (r.Timestamp != 0) == many {
							t.Fatalf("record %d: %+v %v", i, r, err)
						}
					}
				}
			}
			for _, c := range readers {
				if s := balanced(t, c, 0); s.MissedRecords != 0 || s.Position != p.Position() || (s.GapRecords > 0) != many {
					t.Fatalf("%+v", s)
				}
			}
			want, got := origin.b[dataOff:], mirror.b[dataOff:]
			for i := range want {
				if want[i] != got[i] && uint64(i) != p.Position()&origin.mask {
					t.Fatalf("byte %d of the ring differs", i)
				}
			}
			if ends != 3*21 {
				t.Fatalf("%d ends", ends)
			}
		}
	}
}

// Jumps of all sizes, near and further than a lap: every reader's books balance,
// and a mirror opened anew ends where it ended.
func TestMirrorJumps(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	for _, missed := range []bool{false, true} {
		config := testConfig(CapacityBytesMin)
		config.Timestamps = false
		h, m := mirrorOf(t, config, boundary{4096, 7}, MirrorOptions{Missed: missed})
		readers := []*Consumer{
			h.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest()}),
			h.consumer(t, 1, PolicySkip, ConsumerOptions{From: FromOldest()}),
			h.consumer(t, 2, PolicyLatest, ConsumerOptions{From: FromOldest()}),
			h.consumer(t, 3, PolicySkip, ConsumerOptions{From: FromOldest()}), // rarely reads
		}
		lost, sent, held := uint64(0), uint64(0), 0
		for round := range 3000 {
			if rng.IntN(4) == 0 {
				m = h.mirror(t, MirrorOptions{Missed: missed})
			}
			end := m.End()
			_, credit, err := m.Progress()
			if err != nil {
				t.Fatal(err)
			}
			if credit-end.Position >= JumpBytesMax && rng.IntN(3) == 0 {
				hole := uint64(16 * (1 + rng.IntN(3)))
				switch rng.IntN(4) {
				case 0:
					hole = 16*rng.Uint64N(CapacityBytesMin/16) + 16
				case 1:
					hole = 16*rng.Uint64N(CapacityBytesMin) + 16
				}
				n := rng.Uint64N(hole/16 + 1)
				if err := m.Jump(end.Position+hole, n); err != nil {
					t.Fatal(err)
				}
				if m.End() != (Boundary{end.Position + hole, end.Sequence + n}) {
					t.Fatalf("%+v after a jump of %d from %+v", m.End(), hole, end)
				}
				lost += n
			} else if credit == end.Position {
				held++
			} else {
				sent += place(t, m, rng, int(credit-end.Position))
			}
			if again := h.mirror(t, MirrorOptions{}); again.End() != m.End() {
				t.Fatalf("opened anew, the mirror ends at %+v, not %+v", again.End(), m.End())
			}
			for _, policy := range []Policy{PolicyLatest, PolicySkip} {
				for _, from := range []Start{FromLatest(), FromPosition(m.End().Position)} {
					c, err := freshReader(h, policy, from)
					if err != nil || c.Start() != m.End().Position || c.Sequence() != m.End().Sequence {
						t.Fatalf("round %d: %s from %s: %v, mirror %+v", round, policy, from, err, m.End())
					}
				}
				if _, err := freshReader(h, policy, FromOldest()); err != nil {
					t.Fatalf("round %d: %s from oldest: %v", round, policy, err)
				}
			}
			for i, c := range readers {
				drain := round%50 == 0
				if i == 3 && !drain {
					continue
				}
				for n := rng.IntN(40); n > 0 || drain; n-- {
					r, err := c.TryReceive()
					if err == ErrEmpty {
						break
					}
					if err != nil || binary.LittleEndian.Uint64(r.Payload) != r.Sequence {
						t.Fatalf("round %d: %+v %v", round, r, err)
					}
				}
				if s := balanced(t, c, 7); drain && s.Sequence != m.End().Sequence {
					t.Fatalf("round %d: %s reader ends at %+v, mirror %+v", round, c.policy, s, m.End())
				}
			}
		}
		if held == 0 {
			t.Fatal("the lossless reader never held the mirror across a jump")
		}
		for {
			if _, err := readers[0].TryReceive(); err == ErrEmpty {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if s := balanced(t, readers[0], 7); s.Delivered != sent || missed && s.MissedRecords != lost || !missed && s.GapRecords != lost || lost == 0 || sent == 0 {
			t.Fatalf("%+v, sent %d, lost %d", s, sent, lost)
		}
	}
}

// freshReader attaches a reader without a gate that has no slot.
func freshReader(h *heapRing, policy Policy, from Start) (*Consumer, error) {
	c := newConsumer(h.b, alignedBytes(cursorPageBytes), h.config, ConsumerOptions{Policy: policy, From: from})
	err := c.begin(from)
	c.start = c.pos
	return c, err
}

// place commits a few records whose payload is their sequence number.
func place(t *testing.T, m *Mirror, rng *rand.Rand, room int) (records uint64) {
	t.Helper()
	end := m.End()
	room = min(room, m.config.ChunkBytesMax(), int(m.capacity-end.Position&m.mask))
	var chunk []byte
	pos, seq := end.Position, end.Sequence
	for range 1 + rng.IntN(20) {
		n := 8 + rng.IntN(900)
		frame := int(m.frameBytes(uint64(n)))
		if len(chunk)+frame > room {
			break
		}
		chunk = append(chunk, record(m, pos, seq, n)...)
		pos, seq = pos+uint64(frame), seq+1
	}
	if left := uint64(room - len(chunk)); left > 0 && left == m.capacity-pos&m.mask && len(chunk) == 0 {
		chunk = append(chunk, partBytes(m, pos, kindPad, left, int(left))...)
	}
	if len(chunk) == 0 {
		return 0
	}
	s := Span{Bytes: chunk, Position: end.Position, Sequence: end.Sequence, Records: seq - end.Sequence}
	if err := deliver(m, s, func() {}); err != nil {
		t.Fatal(err)
	}
	return s.Records
}

// partBytes is a part as it lies in a ring.
func partBytes(m *Mirror, pos, kind, header uint64, frame int) []byte {
	b := make([]byte, frame)
	binary.LittleEndian.PutUint64(b, m.commitWord(pos, kind))
	binary.LittleEndian.PutUint64(b[8:], header)
	return b
}

func record(m *Mirror, pos, seq uint64, n int) []byte {
	b := partBytes(m, pos, kindData, uint64(n), int(m.frameBytes(uint64(n))))
	binary.LittleEndian.PutUint64(b[m.bodyOff:], seq)
	return b
}
