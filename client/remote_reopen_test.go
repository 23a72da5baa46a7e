package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	protocol "brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// producing is a producer that has sent a record.
func (g *gate) producing() *Producer {
	g.t.Helper()
	p, err := g.dial(TCPOptions{}).Producer(g.t.Context(), "md", ProducerOptions{})
	if err != nil {
		g.t.Fatal(err)
	}
	if err := p.Send(g.t.Context(), []byte("x")); err != nil {
		g.t.Fatal(err)
	}
	return p
}

// TestRemoteReopens: refusals that pass are waited for.
func TestRemoteReopens(t *testing.T) {
	passing := []wire.LinkEndFrame{
		{Code: wire.CodeBusy, Message: "busy"}, {Code: wire.CodeInternal, Message: "internal"},
		{Code: wire.CodeRefused, Name: string(wire.ErrNotReady), Message: "starting"},
		{Code: wire.CodeRefused, Name: string(wire.ErrProducerPresent), Message: "you again"},
	}
	var sink *bin
	opens := 0
	g := newGate(t, func(c *gateConn, e protocol.Event) {
		if e.Kind != protocol.EventOpen {
			return
		}
		opens++
		if opens > 1 && opens <= 1+len(passing) {
			c.End(e.Stream, passing[opens-2])
			return
		}
		o := gateOpened()
		if sink == nil {
			sink = &bin{keep: true}
		}
		o.Position, o.Sequence, o.ID = sink.end.Position, sink.end.Sequence, fmt.Sprintf("md/p0.%d", opens)
		_ = c.Take(e.Stream, o, sink)
	})
	p := g.producing()
	g.cut()
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	defer cancel()
	if err := errors.Join(p.Send(ctx, []byte("y")), p.Flush(ctx)); err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if opens != 2+len(passing) || sink.end.Sequence != 2 || p.ID() != fmt.Sprintf("md/p0.%d", opens) {
		t.Errorf("%d opens, %d records, %s", opens, sink.end.Sequence, p.ID())
	}
}

// TestRemoteForgotten: a session that the other side knows nothing of any more is
// not published twice.
func TestRemoteForgotten(t *testing.T) {
	var g *gate
	sink := &bin{keep: true}
	g = newGate(t, func(c *gateConn, e protocol.Event) {
		if e.Kind != protocol.EventOpen {
			return
		}
		if c.number > 0 {
			sink = &bin{}
		}
		_ = c.Take(e.Stream, gateOpened(), sink)
	})
	p := g.producing()
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.cut()
	var err error
	for err == nil {
		err = p.Send(t.Context(), []byte("y"))
	}
	if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "forgotten this session") {
		t.Errorf("got %v", err)
	}
	var left *UnacknowledgedError
	if err := p.Close(); !errors.As(err, &left) || left.Records == 0 || !errors.Is(err, ErrLost) || strings.Count(err.Error(), "forgotten") != 1 {
		t.Errorf("close: %v", err)
	}
}

// TestRemoteUnknown: the gateway comes back and knows this program no more.
func TestRemoteUnknown(t *testing.T) {
	g := newGate(t, keepAll)
	r := g.dial(TCPOptions{})
	p, err := r.Producer(t.Context(), "md", ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	g.greet = func(c *gateConn) { c.Close(wire.CodeIdentity, "who are you?") }
	g.mu.Unlock()
	g.cut()
	for err == nil {
		err = p.Send(t.Context(), []byte("x"))
	}
	if !errors.Is(err, ErrLost) || !errors.Is(err, ErrAccessDenied) || !strings.Contains(err.Error(), "who are you?") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := r.Consumer(ctx, "md", ConsumerOptions{}); !errors.Is(err, ErrAccessDenied) {
		t.Errorf("attaching: %v", err)
	}
}

// TestRemoteDemoted: a demote reader that loses records on a connection that stands
// was demoted; one that lost them between two connections was not.
func TestRemoteDemoted(t *testing.T) {
	spring := newSpring(t)
	send := func(n int) {
		for range n {
			if err := spring.p.Send(context.Background(), make([]byte, 1000)); err != nil {
				t.Error(err)
			}
		}
	}
	slot := 0
	var sources []*shmring.Consumer
	t.Cleanup(func() { // once the gate has ended
		for _, s := range sources {
			_ = s.Close()
		}
	})
	g := newGate(t, func(c *gateConn, e protocol.Event) {
		if e.Kind != protocol.EventOpen {
			return
		}
		from := shmring.FromOldest()
		o := gateOpened()
		o.Policy = uint8(shmring.PolicyDemote)
		source := spring.source(t, slot, shmring.PolicySkip, from) // skips as if demoted
		slot++
		sources = append(sources, source)
		if err := c.Serve(e.Stream, o, source); err != nil {
			t.Error(err)
		}
	})
	r := g.dial(TCPOptions{})
	c, err := r.Consumer(t.Context(), "md", ConsumerOptions{Policy: PolicyDemote, From: FromOldest()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testWait)
	defer cancel()
	g.mu.Lock()
	send(1)
	g.mu.Unlock()
	if _, err := c.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	for conn := range g.open {
		_ = conn.Close()
	}
	send(200) // more than a lap while nobody reads
	g.mu.Unlock()
	record, err := c.Receive(ctx)
	if err != nil || record.Missed == 0 {
		t.Fatalf("after the outage: missed %d, %v", record.Missed, err)
	}
	if s := c.Stats(); c.Demoted() || s.Demoted || !s.Gating || s.Policy != shmring.PolicyDemote {
		t.Errorf("after the outage: %+v", s)
	}
	for seq := record.Sequence; seq < 200; {
		if record, err = c.Receive(ctx); err != nil {
			t.Fatal(err)
		}
		seq = record.Sequence
	}
	g.mu.Lock()
	send(200) // and now while it is connected
	g.mu.Unlock()
	for record.Missed == 0 {
		if record, err = c.Receive(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Stats(); !c.Demoted() || !s.Demoted || s.Gating {
		t.Errorf("demoted: %+v", s)
	}
}
