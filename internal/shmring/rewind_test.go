package shmring

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// A receiver of spans that comes and goes: each time it holds some boundary of
// what it was given, and the reader goes on there. Whatever the producer does
// meanwhile, nothing is lost while the reader gates, and the counts are right.
func TestRewind(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, many := range []bool{false, true} {
		rng := rand.New(rand.NewPCG(seed, 0))
		config := testConfig(CapacityBytesMin)
		config.Many = many
		h := newHeapRing(t, config)
		p := h.producer(t, ProducerOptions{OnFull: OnFullFail})
		c := h.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest(), Spans: true})
		held, aborted := Boundary{}, uint64(0)
		for sent := 0; sent < 20000; {
			for range rng.IntN(200) {
				if many && rng.IntN(20) == 0 {
					if _, err := p.Reserve(t.Context(), 8); err == nil {
						if err := p.Abort(); err != nil {
							t.Fatal(err)
						}
						aborted++
						sent++
					}
					continue
				}
				if p.TrySend(payload(sent, 8+rng.IntN(600))) == ErrFull {
					break
				}
				sent++
			}
			var boundaries []Boundary
			for range rng.IntN(8) {
				s, err := c.NextSpan(1 + rng.IntN(4096))
				if errors.Is(err, ErrEmpty) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if at := (Boundary{s.Position, s.Sequence}); at != held && len(boundaries) == 0 || s.Missed != 0 {
					t.Fatalf("span at %+v, the receiver holds everything up to %+v; %d missed", at, held, s.Missed)
				}
				boundaries = append(boundaries, c.EndBoundary())
			}
			if len(boundaries) == 0 {
				continue
			}
			held = boundaries[rng.IntN(len(boundaries))]
			if wrong := (Boundary{held.Position, held.Sequence + 1}); c.Rewind(wrong) == nil {
				t.Fatal("a wrong sequence is taken")
			}
			if wrong := (Boundary{held.Position + 8, held.Sequence}); c.Rewind(wrong) == nil {
				t.Fatal("a position that is no boundary is taken")
			}
			if end := c.EndBoundary(); c.Rewind(Boundary{end.Position + 16, end.Sequence}) == nil {
				t.Fatal("a position that was not handed out is taken")
			}
			if err := c.Rewind(held); err != nil {
				t.Fatal(err)
			}
			if c.EndBoundary() != held || !c.Intact() {
				t.Fatalf("rewound to %+v, it stands at %+v", held, c.EndBoundary())
			}
			s := c.Stats()
			if s.Delivered+s.GapRecords+s.MissedRecords != held.Sequence || s.MissedRecords != 0 || s.GapRecords > aborted {
				t.Fatalf("at %+v with %d aborted: %+v", held, aborted, s)
			}
		}
		if s := c.Stats(); many == (s.GapRecords == 0) {
			t.Errorf("many %v: %d gaps", many, s.GapRecords)
		}
	}
}

// TestRewindRefused: a reader that does not gate any more cannot go back.
func TestRewindRefused(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{})
	c := h.consumer(t, 0, PolicyDemote, ConsumerOptions{From: FromOldest(), Spans: true})
	for n := range 10 {
		if err := p.TrySend(payload(n, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.NextSpan(1000); err != nil {
		t.Fatal(err)
	}
	if err := c.Rewind(Boundary{}); err != nil {
		t.Fatalf("all the way back, nothing released: %v", err)
	}
	if _, err := c.NextSpan(1000); err != nil {
		t.Fatal(err)
	}
	end := c.EndBoundary()
	p.demote(0, 1)
	if err := c.Rewind(end); err == nil {
		t.Error("a demoted reader rewinds")
	}
	if c.EndBoundary() != end {
		t.Errorf("a refused Rewind has moved the reader to %+v", c.EndBoundary())
	}
	plain := h.consumer(t, 1, PolicyBlock, ConsumerOptions{From: FromOldest()})
	if err := plain.Rewind(Boundary{}); err == nil {
		t.Error("a reader of records rewinds")
	}
}
