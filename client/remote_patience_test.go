package client

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	protocol "brokerd/internal/link"
)

// TestRemoteStuck: data that nobody acknowledges, and silence, are a broken
// connection; the next one goes on.
func TestRemoteStuck(t *testing.T) {
	var last atomic.Int64
	g := newGate(t, func(c *gateConn, e protocol.Event) {
		if e.Kind == protocol.EventOpen {
			last.Store(int64(c.number))
			_ = c.Take(e.Stream, gateOpened(), &bin{keep: c.number > 0})
		}
	})
	r := g.dial(TCPOptions{DeadAfter: DeadAfterMin})
	p, err := r.Producer(t.Context(), "md", ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * DeadAfterMin) // an idle connection owes nothing
	if last.Load() != 0 {
		t.Error("an idle connection was given up")
	}
	begin := time.Now()
	if err := p.Send(t.Context(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); last.Load() == 0 || took < DeadAfterMin {
		t.Errorf("connection %d after %v", last.Load(), took)
	}
}

// TestPatience grows while nothing comes of it, up to a limit.
func TestPatience(t *testing.T) {
	p := patience{least: 3 * time.Second}
	for _, want := range []time.Duration{3, 6, 12, 24, 48, 60, 60} {
		if got := p.limit(); got != want*time.Second {
			t.Errorf("got %v, want %v", got, want*time.Second)
		}
		p.grow()
	}
}
