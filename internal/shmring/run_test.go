package shmring

import (
	"math/rand/v2"
	"testing"
)

// dataRun goes over the same parts as a walk one by one, and stops where it should:
// before what is no data, goes beyond the limit, or has a reserved bit.
func TestDataRun(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, many := range []bool{false, true} {
		h := newHeapRing(t, Config{Capacity: CapacityBytesMin, RecordMax: 300, Epoch: 1, Key: 0xA5A5_0000_1234_5678, ConsumersMax: 1, Many: many, Checksum: many})
		p := h.producer(t, ProducerOptions{})
		size := 64
		for p.tail < 3*CapacityBytesMin/2 { // some of it on the second lap
			switch random.IntN(20) {
			case 0:
				if err := p.End(t.Context()); err != nil {
					t.Fatal(err)
				}
			case 1, 2, 3:
				size = random.IntN(301)
			case 4:
				p.SetTag(uint16(random.IntN(3)))
			}
			mustSend(t, p, make([]byte, size))
		}
		runs := 0
		for at := (boundary{}); at.pos < p.tail; {
			if at.pos+CapacityBytesMin < p.tail { // gone
				at.pos = (p.tail - CapacityBytesMin) &^ (recordAlign - 1)
				at = firstPart(&h.ring, at)
				continue
			}
			room := h.capacity - at.pos&h.mask
			limit := at.pos + min(room, uint64(random.IntN(4000)))
			reserved := uint64(random.IntN(2)) << (32 + random.IntN(2)) // a bit of the tag
			want, wantFrame := at, uint64(0)
			for {
				q, ok := h.next(want.pos)
				if !ok || q.kind != kindData || q.header&reserved != 0 || want.pos+q.frame > limit {
					break
				}
				want, wantFrame = q.after(want), q.frame
			}
			end, frame := h.dataRun(at, limit, reserved)
			if end != want || frame != wantFrame {
				t.Fatalf("many %t, from %+v up to %d without %#x: %+v, frame %d; one by one it is %+v, %d", many, at, limit, reserved, end, frame, want, wantFrame)
			}
			if end.pos > at.pos+frame {
				runs++
			}
			if at = end; end == want && frame == 0 {
				q, ok := h.next(at.pos)
				if !ok || q.kind == 0 {
					break
				}
				at = q.after(at)
			}
		}
		if runs < 20 {
			t.Errorf("many %t: only %d runs of several parts", many, runs)
		}
	}
}

// firstPart is the first boundary from at on where a part stands.
func firstPart(r *ring, at boundary) boundary {
	for r.kindAt(load64(r.b, r.at(at.pos)), at.pos) == 0 {
		at.pos += recordAlign
	}
	return at
}
