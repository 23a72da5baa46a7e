package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	protocol "brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// TestRemoteTurnedAway: what a gateway may answer to a hello, and what answers that is none.
func TestRemoteTurnedAway(t *testing.T) {
	for _, tc := range []struct {
		code wire.LinkCode
		is   error
	}{
		{wire.CodeIdentity, ErrAccessDenied}, {wire.CodeDenied, ErrAccessDenied}, {wire.CodeVersion, ErrProtocol},
		{wire.CodeBusy, ErrUnreachable}, {wire.CodeGoodbye, ErrUnreachable}, {wire.CodeInternal, ErrUnreachable},
	} {
		g := newGate(t, nil)
		g.greet = func(c *gateConn) { c.Close(tc.code, "because of "+tc.code.String()) }
		_, err := DialTCP(t.Context(), TCPOptions{Address: g.ln.Addr().String(), Plain: true})
		if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), "because of "+tc.code.String()) {
			t.Errorf("%s: got %v", tc.code, err)
		}
	}
	for _, tc := range []struct {
		says string
		is   error
	}{
		{"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", ErrProtocol},
		{"", ErrUnreachable},
	} {
		address := answerWith(t, tc.says)
		_, err := DialTCP(t.Context(), TCPOptions{Address: address, Plain: true})
		if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), address) {
			t.Errorf("%q: got %v", tc.says, err)
		}
	}
}

// answerWith says something to whoever connects, and closes.
func answerWith(t *testing.T, text string) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte(text))
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = conn.Read(make([]byte, 4096))
		_ = conn.Close()
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// TestRemoteSilent: who accepts and says nothing does not hold a caller.
func TestRemoteSilent(t *testing.T) {
	g := newGate(t, nil)
	g.greet = func(*gateConn) {}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := DialTCP(ctx, TCPOptions{Address: g.ln.Addr().String(), Plain: true, WaitFor: time.Minute})
	if !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	g.mu.Lock()
	g.greet = nil
	g.react = func(*gateConn, protocol.Event) {} // nor to an Open
	g.mu.Unlock()
	r := g.dial(TCPOptions{})
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = r.Producer(ctx, "md", ProducerOptions{})
	if !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "ring md") {
		t.Errorf("got %v", err)
	}
	if r.mu.Lock(); len(r.line.streams)+len(r.held)+len(r.producing) != 0 {
		t.Error("something is left of it")
	}
	r.mu.Unlock()
}

// TestRemoteOpenedWithNonsense: nothing is mapped for a ring that cannot be.
func TestRemoteOpenedWithNonsense(t *testing.T) {
	var o wire.LinkOpenedFrame
	g := newGate(t, func(c *gateConn, e protocol.Event) {
		if e.Kind == protocol.EventOpen {
			_ = c.Take(e.Stream, o, &bin{})
		}
	})
	r := g.dial(TCPOptions{})
	for what, change := range map[string]func(){
		"capacity": func() { o.Capacity = 3 }, "no capacity": func() { o.Capacity = 0 }, "too much": func() { o.Capacity = 1 << 40 },
		"record_max": func() { o.RecordMax = 1 << 30 }, "key": func() { o.Key = 1 }, "ring": func() { o.Ring = `{"name": 5}` },
	} {
		g.mu.Lock()
		o = gateOpened()
		change()
		g.mu.Unlock()
		if _, err := r.Producer(t.Context(), "md", ProducerOptions{}); err == nil || !strings.Contains(err.Error(), "ring md") {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

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

// TestRemoteEndsAtOnce: a stream that is granted and ended in one breath is refused.
func TestRemoteEndsAtOnce(t *testing.T) {
	g := newGate(t, func(c *gateConn, e protocol.Event) {
		if e.Kind == protocol.EventOpen {
			_ = c.Take(e.Stream, gateOpened(), &bin{})
			c.End(e.Stream, wire.LinkEndFrame{Code: wire.CodeDenied, Message: "second thoughts"})
		}
	})
	r := g.dial(TCPOptions{})
	_, err := r.Producer(t.Context(), "md", ProducerOptions{})
	if !errors.Is(err, ErrAccessDenied) || !strings.Contains(err.Error(), "second thoughts") {
		t.Errorf("got %v", err)
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
	r := g.dial(TCPOptions{})
	p, err := r.Producer(t.Context(), "md", ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Send(t.Context(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.cut()
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
	g := newGate(t, func(c *gateConn, e protocol.Event) {
		if e.Kind == protocol.EventOpen {
			_ = c.Take(e.Stream, gateOpened(), &bin{keep: true})
		}
	})
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
	r := g.dial(TCPOptions{})
	p, err := r.Producer(t.Context(), "md", ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Send(t.Context(), []byte("x")); err != nil {
		t.Fatal(err)
	}
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

// TestRemoteStreamsMax: a gateway carries so many streams, and says so.
func TestRemoteStreamsMax(t *testing.T) {
	g := newGate(t, func(c *gateConn, e protocol.Event) {
		if e.Kind == protocol.EventOpen {
			_ = c.Take(e.Stream, gateOpened(), &bin{keep: true})
		}
	})
	r := g.dial(TCPOptions{})
	for i := range wire.LinkStreamsMax {
		if _, err := r.Producer(t.Context(), "md", ProducerOptions{Name: fmt.Sprint("p", i)}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.Producer(t.Context(), "md", ProducerOptions{Name: "one-more"})
	if err == nil || !strings.Contains(err.Error(), "64") {
		t.Errorf("got %v", err)
	}
}

func TestTCPOptions(t *testing.T) {
	files := TCPOptions{Address: "h:1", Cert: "c", Key: "k", CA: "a"}
	for _, tc := range []struct {
		change func(o *TCPOptions)
		says   string
	}{
		{func(o *TCPOptions) {}, ""},
		{func(o *TCPOptions) { o.Address = "h" }, "host:port"},
		{func(o *TCPOptions) { o.Address = "h:" }, "host:port"},
		{func(o *TCPOptions) { o.Address = "[::1]:1" }, ""},
		{func(o *TCPOptions) { o.Key = "" }, "certificate, key and authority"},
		{func(o *TCPOptions) { o.Plain = true }, "one or the other"},
		{func(o *TCPOptions) { *o = TCPOptions{Address: "h:1", Plain: true, ServerName: "x"} }, "one or the other"},
		{func(o *TCPOptions) { *o = TCPOptions{Address: "h:1", Plain: true} }, ""},
		{func(o *TCPOptions) { *o = TCPOptions{Address: "h:1"} }, "brokerctl pki"},
		{func(o *TCPOptions) { o.Name = "a b" }, "name"},
		{func(o *TCPOptions) { o.DeadAfter = DeadAfterMin - 1 }, "dead after"},
		{func(o *TCPOptions) { o.DeadAfter = DeadAfterMax + 1 }, "dead after"},
		{func(o *TCPOptions) { o.DeadAfter = DeadAfterMax }, ""},
		{func(o *TCPOptions) { o.DeadAfter = DeadAfterMin }, ""},
	} {
		o := files
		tc.change(&o)
		err := o.check()
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%+v: got %v, want %q", o, err, tc.says)
		}
	}
}
