package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	protocol "brokerd/internal/link"
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

// TestRemoteStreamsMax: a gateway carries so many streams, and says so.
func TestRemoteStreamsMax(t *testing.T) {
	g := newGate(t, keepAll)
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
