package client

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"brokerd/internal/wire"
)

func TestDaemonThatDoesNotAnswer(t *testing.T) {
	c, p := newScript(t).dial()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := c.RemoveRing(ctx, "md", false)
	if !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "RemoveRing") {
		t.Errorf("got %v", err)
	}
	// Its answer comes late and must not be taken for that of the next call.
	p.next(wire.MethodRemoveRing)
	done := background(rings(t.Context(), c))
	p.send(wire.RingNotFound("md", "there is no ring md").Reply())
	p.next(wire.MethodListRings)
	p.reply(wire.ListRingsOut{})
	if err := <-done; err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// TestLateAttach grants an attachment to a caller who has given up.
func TestLateAttach(t *testing.T) {
	c, p := newScript(t).dial()
	ctx, cancel := context.WithCancel(t.Context())
	done := background(func() error {
		_, err := c.Consumer(ctx, "md", ConsumerOptions{})
		return err
	})
	p.next(wire.MethodAttach)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	p.reply(wire.AttachOut{Attachment: wire.Attachment{ID: "md/c0.1"}})
	call := p.next(wire.MethodDetach)
	if !call.Oneway || !strings.Contains(string(call.Parameters), "md/c0.1") {
		t.Errorf("got %+v, want a oneway Detach of md/c0.1", call)
	}
}

func TestQueriesAreAskedAgain(t *testing.T) {
	s := newScript(t)
	c, p := s.dial()
	done := background(rings(t.Context(), c))
	p.next(wire.MethodListRings)
	_ = p.conn.Close()
	p = s.accept()
	p.next(wire.MethodListRings)
	p.reply(wire.ListRingsOut{})
	if err := <-done; err != nil {
		t.Errorf("a query: %v", err)
	}
	done = background(func() error { return c.RemoveRing(t.Context(), "md", false) })
	p.next(wire.MethodRemoveRing)
	_ = p.conn.Close()
	if err := <-done; !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "may or may not") {
		t.Errorf("a call that changes something: got %v", err)
	}
	s.accept()
}

func TestBadReplies(t *testing.T) {
	s := newScript(t)
	c, p := s.dial()
	for _, tc := range []struct{ name, bytes, says string }{
		{"not asked for", "{}\x00", "nobody asked"},
		{"turned away", `{"error":"io.brokerd.Broker.LimitExceeded","parameters":{"message":"4096 connections are open"}}` + "\x00", "4096 connections"},
		{"malformed", "{]\x00", "malformed"},
	} {
		l, err := c.connected(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.conn.WriteMessage([]byte(tc.bytes), nil); err != nil {
			t.Fatal(err)
		}
		p.closed()
		if why := l.why(); !errors.Is(why, errBroken) || !strings.Contains(why.Error(), tc.says) {
			t.Errorf("%s: got %v, want %q", tc.name, why, tc.says)
		}
		p = s.accept()
		done := background(rings(t.Context(), c))
		p.next(wire.MethodListRings)
		p.reply(wire.ListRingsOut{})
		if err := <-done; err != nil {
			t.Errorf("after %s: %v", tc.name, err)
		}
	}
	done := background(rings(t.Context(), c))
	p.next(wire.MethodListRings)
	p.send(wire.Reply{Parameters: []byte(`{"rings": 7}`)})
	if err := <-done; !errors.Is(err, wire.ErrMalformedReply) {
		t.Errorf("a reply of a wrong type: got %v", err)
	}
}
