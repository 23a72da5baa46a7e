package control

import (
	"errors"
	"testing"
	"time"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// expectStream reads one reply of a stream and checks whether more follow.
func (c *caller) expectStream(continues bool) wire.StatsOut {
	c.t.Helper()
	reply, _ := c.receive()
	var out wire.StatsOut
	if err := reply.Decode(&out); err != nil {
		c.t.Fatal(err)
	}
	if reply.Continues != continues || out.TimeNS == 0 {
		c.t.Fatalf("continues is %v with time %d, want %v", reply.Continues, out.TimeNS, continues)
	}
	return out
}

func TestStatsStreamKeepsItsInterval(t *testing.T) {
	h := newHost(t, nil, nil)
	h.ring(wire.RingSpec{Name: "md"})
	c := h.dial()
	c.send(wire.MethodStats, wire.StatsIn{Ring: "md", IntervalMS: p(int64(50))}, "more")
	first := c.expectStream(true).TimeNS
	for range 3 {
		c.expectStream(true)
	}
	if took := time.Duration(c.expectStream(true).TimeNS - first); took < 190*time.Millisecond {
		t.Errorf("four intervals of 50 ms took %v", took)
	}
	if h.seen("Stats ok") != 1 {
		t.Errorf("one stream was observed as %d calls", h.seen("Stats ok"))
	}
}

func TestStatsStreamEndsWithTheNextCall(t *testing.T) {
	h := newHost(t, nil, nil)
	c := h.dial()
	for range 20 {
		c.send(wire.MethodStats, wire.StatsIn{IntervalMS: p(int64(3600000))}, "more")
		c.expectStream(true)
		c.send(wire.MethodGetStatus, nil)
		c.expectStream(false)
		reply, _ := c.receive()
		var status wire.GetStatusOut
		if err := reply.Decode(&status); err != nil || status.Version != "test" {
			t.Fatalf("the call behind a stream was answered %+v, %v", status, err)
		}
	}
	// Behind each other, without waiting for replies.
	c.send(wire.MethodStats, wire.StatsIn{IntervalMS: p(int64(3600000))}, "more")
	c.send(wire.MethodStats, wire.StatsIn{IntervalMS: p(int64(3600000))}, "more")
	c.expectStream(true)
	c.expectStream(false)
	c.expectStream(true)
}

func TestStatsStreamEndsWhenTheRingDoes(t *testing.T) {
	h := newHost(t, nil, nil)
	h.ring(wire.RingSpec{Name: "md"})
	c := h.dial()
	c.send(wire.MethodStats, wire.StatsIn{Ring: "md", IntervalMS: p(int64(10))}, "more")
	c.expectStream(true)
	h.dial().must(wire.MethodRemoveRing, wire.RemoveRingIn{Name: "md"}, &wire.RemoveRingOut{})
	for {
		reply, _ := c.receive()
		if err := reply.Decode(&wire.StatsOut{}); err != nil {
			refused(t, err, wire.ErrRingNotFound)
			if reply.Continues {
				t.Error("the last reply continues")
			}
			break
		}
	}
	c.must(wire.MethodGetStatus, nil, &wire.GetStatusOut{}) // the connection goes on
}

func TestStatsStreamNoticesThatTheClientIsGone(t *testing.T) {
	h := newHost(t, nil, nil)
	c := h.dial()
	c.send(wire.MethodStats, wire.StatsIn{IntervalMS: p(int64(3600000))}, "more")
	c.expectStream(true)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server has closed the connection", func() bool { return h.server.Connections() == 0 })
}

func TestStatsStreamEndsWhenTheServerStops(t *testing.T) {
	h := newHost(t, nil, nil)
	c := h.dial()
	c.send(wire.MethodStats, wire.StatsIn{IntervalMS: p(int64(3600000))}, "more")
	c.expectStream(true)
	began := time.Now()
	h.stop()
	c.expectStream(false)
	c.ended()
	if err := h.wait(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > drainMax {
		t.Errorf("stopping took %v", took)
	}
}

func TestStopFlushesRepliesAndKeepsAttachments(t *testing.T) {
	h := newHost(t, nil, nil)
	h.ring(wire.RingSpec{Name: "md"})
	c := h.dial()
	for _, role := range []wire.Role{wire.RoleConsumer, wire.RoleProducer} {
		c.must(wire.MethodAttach, attachIn("md", role), &wire.AttachOut{})
	}
	h.stop()
	if err := h.wait(); err != nil {
		t.Fatal(err)
	}
	c.ended()
	list, err := h.broker.Attachments("md")
	if err != nil || len(list) != 2 {
		t.Fatalf("attachments after the server stopped: %+v, %v", list, err)
	}
	for _, a := range list {
		if a.State != wire.StateAttached {
			t.Errorf("%s is %s: the server told the broker that its client had closed the connection", a.ID, a.State)
		}
	}
	if h.server.Connections() != 0 {
		t.Errorf("%d connections after Serve returned", h.server.Connections())
	}
}

func TestCloseOfAClientEndsItsAttachments(t *testing.T) {
	h := newHost(t, nil, nil)
	h.ring(wire.RingSpec{Name: "md"})
	c := h.dial()
	c.must(wire.MethodAttach, attachIn("md", wire.RoleConsumer), &wire.AttachOut{})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the attachment is detached", func() bool {
		list, err := h.broker.Attachments("md")
		return err == nil && len(list) == 1 && list[0].State == wire.StateDetached
	})
}

// TestStopWaitsNoLongerThanDrain has a client that does not take its reply: the
// write blocks, and the server leaves it behind.
func TestStopWaitsNoLongerThanDrain(t *testing.T) {
	const drain = 200 * time.Millisecond
	h := newHost(t, nil, func(s *Server) { s.waits.drain = drain })
	c := h.dial()
	stuck := make(chan struct{})
	go func() {
		defer close(stuck)
		for {
			message := []byte(`{"method":"` + wire.MethodGetInterfaceDescription + `","parameters":{"interface":"` + wire.Interface + "\"}}\x00")
			if c.WriteMessage(message, nil) != nil {
				return
			}
		}
	}()
	eventually(t, "replies fill the socket", func() bool {
		n := h.seen("GetInterfaceDescription ok")
		time.Sleep(20 * time.Millisecond)
		return n > 10 && n == h.seen("GetInterfaceDescription ok")
	})
	began := time.Now()
	h.stop()
	if err := h.wait(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < drain || took > drain+2*time.Second {
		t.Errorf("stopping took %v, want %v", took, drain)
	}
	<-stuck
}

func TestServeReportsAListenerClosedByOthers(t *testing.T) {
	h := newHost(t, nil, nil)
	ln, err := unixconn.Listen(h.path+"2", 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	s := New(h.server.o)
	if err := s.Serve(t.Context(), ln); err == nil || errors.Is(err, t.Context().Err()) {
		t.Errorf("Serve on a closed listener returned %v", err)
	}
}

func TestBeats(t *testing.T) {
	h := newHost(t, nil, nil)
	eventually(t, "three beats", func() bool { return h.beats.Load() >= 3 })
	h.server.admitting.Store(time.Now().Add(-admitMax).UnixNano()) // as if stuck
	n := h.beats.Load() + 1                                        // one may be under way
	time.Sleep(3 * beatMax)
	if now := h.beats.Load(); now > n {
		t.Errorf("%d beats while the accept loop was stuck", now-n)
	}
}
