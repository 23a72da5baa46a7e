package shmring

import (
	"errors"
	"testing"
)

// A mirror begins in the middle: every start is right, before and after its first chunk.
func TestMirrorStart(t *testing.T) {
	config := testConfig(CapacityBytesMin)
	origin := newHeapRing(t, config)
	p := origin.producer(t, ProducerOptions{})
	for i := range 700 {
		mustSend(t, p, payload(i, 1000))
	}
	feed := origin.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest(), Spans: true})
	start := boundary{feed.pos, feed.seq}
	mirror, m := mirrorOf(t, config, start, MirrorOptions{})
	starts := map[string]Start{"latest": FromLatest(), "oldest": FromOldest(), "position": FromPosition(start.pos)}
	for _, policy := range []Policy{PolicyBlock, PolicySkip, PolicyLatest} {
		for name, from := range starts {
			c := mirror.consumer(t, 0, policy, ConsumerOptions{From: from})
			if c.Start() != start.pos || c.Sequence() != start.seq {
				t.Fatalf("%s %s before the first chunk: %d, %d", policy, name, c.Start(), c.Sequence())
			}
			wantEmpty(t, c)
		}
	}
	early := []*Consumer{
		mirror.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromLatest()}),
		mirror.consumer(t, 1, PolicySkip, ConsumerOptions{From: FromOldest()}),
		mirror.consumer(t, 2, PolicyDemote, ConsumerOptions{From: FromPosition(start.pos), KeepCursor: true}),
	}
	var gone *PositionError
	for _, pos := range []uint64{0, 16, start.pos - 16, start.pos + 16, start.pos + 1<<30} {
		if _, err := mirror.tryConsumer(3, PolicySkip, ConsumerOptions{From: FromPosition(pos)}); !errors.As(err, &gone) || gone.Oldest != start.pos || gone.Newest != start.pos {
			t.Fatalf("position %d: %v", pos, err)
		}
	}
	moved := 0
	for again := true; again; moved++ {
		again = pump(t, feed, m, 1<<20)
		for _, c := range early {
			for {
				r, err := c.TryReceive()
				if err == ErrEmpty {
					break
				}
				if err != nil || r.Missed != 0 || string(r.Payload) != string(payload(int(r.Sequence), 1000)) {
					t.Fatalf("%+v, %v", r, err)
				}
			}
		}
	}
	if m.End() != (Boundary{p.Position(), 700}) || moved < 2 {
		t.Fatalf("%+v after %d", m.End(), moved)
	}
	for _, c := range early {
		if s := balanced(t, c, start.seq); s.Delivered != 700-start.seq {
			t.Fatalf("%+v", s)
		}
	}
	latest := mirror.consumer(t, 3, PolicySkip, ConsumerOptions{From: FromLatest()})
	if latest.Start() != p.Position() || latest.Sequence() != 700 {
		t.Fatalf("latest %d, %d", latest.Start(), latest.Sequence())
	}
	oldest := mirror.consumer(t, 3, PolicySkip, ConsumerOptions{From: FromOldest()})
	if oldest.Start() < start.pos || oldest.Start() > p.Position()-mirror.capacity/2 {
		t.Fatalf("oldest %d of %d to %d", oldest.Start(), start.pos, p.Position())
	}
	if s, err := mirror.Stats(); err != nil || s.Position != p.Position() || s.Sequence != 700 {
		t.Fatalf("%+v %v", s, err)
	}
}
