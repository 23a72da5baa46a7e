package shmring

import "testing"

// TestNewest: a reader that has read nothing knows where the ring ends.
func TestNewest(t *testing.T) {
	for _, many := range []bool{false, true} {
		config := testConfig(CapacityBytesMin)
		config.Many = many
		h := newHeapRing(t, config)
		p := h.producer(t, ProducerOptions{OnFull: OnFullFail})
		c := h.consumer(t, 0, PolicySkip, ConsumerOptions{From: FromOldest()})
		if at, err := c.Newest(); err != nil || at != (Boundary{}) {
			t.Fatalf("many %v: an empty ring ends at %+v (%v)", many, at, err)
		}
		for n := range uint64(3000) { // some laps
			if err := p.TrySend(make([]byte, n%200)); err != nil {
				t.Fatal(err)
			}
			at, err := c.Newest()
			if err != nil || at.Sequence != n+1 {
				t.Fatalf("many %v: after %d records the ring ends at %+v (%v)", many, n+1, at, err)
			}
		}
		if c.Position() != 0 {
			t.Errorf("many %v: the reader was moved to %d", many, c.Position())
		}
	}
}
