package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

func TestConnectionsMax(t *testing.T) {
	const most = 4
	h := newHost(t, func(o *Options) { o.ConnectionsMax = most }, nil)
	h.ring(wire.RingSpec{Name: "md"})
	var attached []*caller
	for range most {
		c := h.dial()
		c.must(wire.MethodAttach, attachIn("md", wire.RoleConsumer), &wire.AttachOut{})
		attached = append(attached, c)
	}
	// At the limit and past it: nobody silent to send away.
	for range 3 {
		c := h.dial()
		reply, _ := c.receive()
		err := reply.Decode(nil)
		refused(t, err, wire.ErrLimitExceeded, "all 4 connections", "limits.connections")
		var why *wire.Error
		var numbers wire.LimitExceededParameters
		if !errors.As(err, &why) || why.Decode(&numbers) != nil || numbers.Used != most || numbers.Max != most || numbers.Wanted != 1 {
			t.Errorf("parameters %+v", numbers)
		}
		c.ended()
	}
	for _, c := range attached {
		c.must(wire.MethodGetStatus, nil, &wire.GetStatusOut{})
	}
	if n := h.server.Connections(); n != most {
		t.Errorf("%d connections open, want %d", n, most)
	}
	if err := attached[0].Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a seat is free", func() bool { return h.server.Connections() < most })
	h.dial().must(wire.MethodGetStatus, nil, &wire.GetStatusOut{})
}

// TestSilentCrowd holds that a thousand connections which say nothing keep no
// honest client out, and that nobody attached has to go for them.
func TestSilentCrowd(t *testing.T) {
	const most, crowd = 64, 1000
	h := newHost(t, func(o *Options) { o.ConnectionsMax = most }, nil)
	h.ring(wire.RingSpec{Name: "md"})
	veteran := h.dial()
	veteran.must(wire.MethodAttach, attachIn("md", wire.RoleConsumer), &wire.AttachOut{})

	for range crowd {
		h.dial()
	}
	eventually(t, "an honest client is served", func() bool {
		c := h.dial()
		// The write may fail when the server has refused the connection
		// already; its reply is there to be read all the same.
		_ = c.WriteMessage([]byte(`{"method":"`+wire.MethodAttach+`","parameters":{"ring":"md","role":"consumer"}}`+"\x00"), nil)
		reply, _ := c.receive()
		err := reply.Decode(&wire.AttachOut{})
		if err != nil && !errors.Is(err, wire.ErrLimitExceeded) {
			t.Fatal(err)
		}
		return err == nil
	})
	var list wire.ListAttachmentsOut
	veteran.must(wire.MethodListAttachments, nil, &list)
	if len(list.Attachments) != 2 {
		t.Errorf("attachments: %+v", list)
	}
	if n := h.server.Connections(); n > most {
		t.Errorf("%d connections open, at most %d allowed", n, most)
	}
}

func TestHalfSentCall(t *testing.T) {
	const halfCall = 100 * time.Millisecond
	h := newHost(t, nil, func(s *Server) { s.waits.halfCall = halfCall })
	silent := h.dial()
	socket, err := net.Dial("unix", h.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	began := time.Now()
	if _, err := io.WriteString(socket, `{"method":"io.brok`); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(socket) // until the server closes
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < halfCall {
		t.Errorf("closed after %v, want %v", took, halfCall)
	}
	reply, err := wire.DecodeReply(bytes.TrimSuffix(answer, []byte{0}))
	if err != nil {
		t.Fatalf("%v in %q", err, answer)
	}
	refused(t, reply.Decode(nil), wire.ErrInvalidParameter, "NUL", halfCall.String())
	// Whoever has not begun a call may stay silent as long as he likes.
	time.Sleep(2 * halfCall)
	silent.must(wire.MethodGetStatus, nil, &wire.GetStatusOut{})
}

func TestCallBytesMax(t *testing.T) {
	h := newHost(t, nil, nil)
	head, tail := `{"method":"`+wire.MethodGetStatus+`"`, "}"
	fits := head + strings.Repeat(" ", wire.CallBytesMax-len(head)-len(tail)) + tail
	c := h.dial()
	c.raw(fits + "\x00")
	reply, _ := c.receive()
	if err := reply.Decode(&wire.GetStatusOut{}); err != nil {
		t.Fatalf("a call of exactly the limit: %v", err)
	}
	c.raw(" " + fits + "\x00")
	reply, _ = c.receive()
	refused(t, reply.Decode(nil), wire.ErrInvalidParameter, "65536 bytes")
	c.ended()
}

// TestHugeCall sends 100 MB and no end. The server must not keep them.
func TestHugeCall(t *testing.T) {
	h := newHost(t, nil, nil)
	socket, err := net.Dial("unix", h.path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.Close() }()
	chunk := bytes.Repeat([]byte("a"), 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	sent := 0
	for err == nil && sent < 100<<20 {
		var n int
		n, err = socket.Write(chunk)
		sent += n
	}
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Fatal("100 MB were taken")
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("%d bytes allocated for one call", grown)
	}
	answer, _ := io.ReadAll(socket) // ends with a reset: the server left the rest unread
	reply, err := wire.DecodeReply(bytes.TrimSuffix(answer, []byte{0}))
	if err != nil {
		t.Fatalf("%v in %q", err, answer)
	}
	refused(t, reply.Decode(nil), wire.ErrInvalidParameter, "65536 bytes")
}

func TestSlowReaderOfReplies(t *testing.T) {
	const patience = 100 * time.Millisecond
	h := newHost(t, nil, func(s *Server) { s.waits.replyWrite = patience })
	c := h.dial()
	other := h.dial()
	message := []byte(`{"method":"` + wire.MethodGetInterfaceDescription + `","parameters":{"interface":"` + wire.Interface + "\"}}\x00")
	_ = c.SetWriteDeadline(time.Now().Add(waitMax))
	for range 1 << 20 {
		if err := c.WriteMessage(message, nil); err != nil {
			break // the server has closed the connection
		}
	}
	eventually(t, "only the other connection is left", func() bool { return h.server.Connections() == 1 })
	other.must(wire.MethodGetStatus, nil, &wire.GetStatusOut{})
}

// TestOpenAndCloseLeavesNothing counts descriptors after many connections that
// ended in every way there is.
func TestOpenAndCloseLeavesNothing(t *testing.T) {
	h := newHost(t, nil, nil)
	h.ring(wire.RingSpec{Name: "md"})
	ways := []func(c *caller){
		func(*caller) {},
		func(c *caller) { c.raw("nonsense\x00"); c.ended() },
		func(c *caller) { c.must(wire.MethodGetStatus, nil, &wire.GetStatusOut{}) },
		func(c *caller) {
			c.send(wire.MethodAttach, attachIn("md", wire.RoleConsumer))
			reply, files := c.receive()
			unixconn.CloseFiles(files)
			var out wire.AttachOut
			if err := reply.Decode(&out); err != nil {
				t.Fatal(err)
			}
			c.must(wire.MethodDetach, wire.DetachIn{ID: out.Attachment.ID}, &wire.DetachOut{})
		},
		func(c *caller) { c.send(wire.MethodStats, nil, "more"); c.expectStream(true) },
		func(c *caller) { c.send(wire.MethodAttach, attachIn("nosuch", wire.RoleConsumer)) },
	}
	round := func() {
		for _, way := range ways {
			conn, err := unixconn.Dial(context.Background(), h.path)
			if err != nil {
				t.Fatal(err)
			}
			way(&caller{t, conn})
			_ = conn.Close()
		}
		eventually(t, "all connections are closed", func() bool { return h.server.Connections() == 0 })
	}
	round()
	files := openFiles(t)
	for range 50 {
		round()
	}
	eventually(t, "no descriptor is left over", func() bool { return openFiles(t) <= files })
}
