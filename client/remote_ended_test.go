package client

import (
	"errors"
	"strings"
	"testing"
	"time"

	protocol "brokerd/internal/link"
	"brokerd/internal/wire"
)

// endings runs a producer whose second connection, or whose stream, comes to a
// certain end, and returns what it is told.
func endings(t *testing.T, react func(c *gateConn, e protocol.Event)) (r *Remote, p *Producer, end func() error) {
	t.Helper()
	g := newGate(t, react)
	r = g.dial(TCPOptions{DeadAfter: DeadAfterMin})
	p, err := r.Producer(t.Context(), "md", ProducerOptions{OnFull: OnFullDrop})
	if err != nil {
		t.Fatal(err)
	}
	return r, p, func() error {
		for deadline := time.Now().Add(testWait); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if err := p.Send(t.Context(), []byte("x")); err != nil {
				return err
			}
		}
		return errors.New("it did not end")
	}
}

// TestRemoteStreamEnds: what the other side says of a stream that flows.
func TestRemoteStreamEnds(t *testing.T) {
	changed := wire.EpochChanged("md", gateEpoch, 9, "ring md is another one now")
	for _, tc := range []struct {
		end  wire.LinkEndFrame
		is   error
		says string
	}{
		{wire.LinkEndFrame{Code: wire.CodeDetached, Message: "an administrator was here"}, ErrDetached, "md/p0.1: an administrator was here"},
		{wire.LinkEndFrame{Code: wire.CodeDenied, Message: "no longer in allow.import"}, ErrDetached, "no longer in allow.import"},
		{wire.LinkEndFrame{Code: wire.CodeCorrupt, Message: "no record"}, ErrCorrupt, "no record"},
		{wire.LinkEndFrame{Code: wire.CodeRefused, Name: string(wire.ErrNoSpace), Message: "full"}, ErrNoSpace, "full"},
		{wire.LinkEndFrame{Code: wire.CodeRefused, Name: string(changed.Name), Message: changed.Message, Parameters: string(changed.Parameters)}, ErrLost, ""},
	} {
		_, _, end := endings(t, func(c *gateConn, e protocol.Event) {
			if e.Kind == protocol.EventOpen {
				c.takeThenEnd(e, tc.end)
			}
		})
		if err := end(); !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: got %v", tc.end.Code, err)
		}
	}
}

// TestRemoteRemovedByWord: the other side says that the ring is gone, and is asked
// who has its name.
func TestRemoteRemovedByWord(t *testing.T) {
	gone := wire.RingNotFound("md", "no ring md")
	changed := wire.EpochChanged("md", gateEpoch, 9, "another one")
	for _, tc := range []struct {
		answer  func(c *gateConn, e protocol.Event)
		current uint64
		says    string
	}{
		{func(c *gateConn, e protocol.Event) {
			c.End(e.Stream, wire.LinkEndFrame{Code: wire.CodeRefused, Name: string(gone.Name), Message: gone.Message})
		}, 0, "no ring of that name"},
		{func(c *gateConn, e protocol.Event) {
			c.End(e.Stream, wire.LinkEndFrame{Code: wire.CodeRefused, Name: string(changed.Name), Message: changed.Message, Parameters: string(changed.Parameters)})
		}, 9, "made anew with epoch 9"},
		{func(c *gateConn, e protocol.Event) {
			o := gateOpened()
			o.Epoch = 8
			_ = c.Take(e.Stream, o, &bin{})
		}, 8, "made anew with epoch 8"},
		{func(c *gateConn, e protocol.Event) {
			c.End(e.Stream, wire.LinkEndFrame{Code: wire.CodeDenied, Message: "not for you"})
		}, 0, "not for you"},
	} {
		opens := 0
		_, p, end := endings(t, func(c *gateConn, e protocol.Event) {
			if e.Kind != protocol.EventOpen {
				return
			}
			if opens++; opens > 1 {
				tc.answer(c, e)
				return
			}
			c.takeThenEnd(e, wire.LinkEndFrame{Code: wire.CodeRemoved, Message: "removed"})
		})
		err := end()
		var removed *RemovedError
		if !errors.As(err, &removed) || errors.Is(err, ErrLost) || removed.Current != tc.current || removed.Epoch != gateEpoch || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("want %q and %d, got %v", tc.says, tc.current, err)
		}
		if err := p.Close(); errors.Is(err, ErrLost) {
			t.Errorf("close: %v", err)
		}
	}
}
