package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"brokerd/internal/broker"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

func feedOf(name, ring, direction, framing string) Feed {
	return Feed{Name: name, Ring: ring, Direction: direction, Framing: framing, FrameBytesMax: 4096, ConnectionsMax: 2}
}

// feedHost is a host with feeds that listen on free ports, unless they connect.
func feedHost(t *testing.T, feeds ...Feed) *host {
	t.Helper()
	leaks(t)
	s := settingsOf("a")
	for _, f := range feeds {
		if f.Connect == "" {
			f.Listen = "127.0.0.1:0"
		}
		s.Feeds = append(s.Feeds, f)
	}
	return newHost(t, ringDir(t), s)
}

func (h *host) feed(name string) (s wire.FeedStatus) {
	for _, f := range h.g.Links().Feeds {
		if f.Name == name {
			s = f
		}
	}
	return s
}

func (h *host) knock(name string) net.Conn {
	h.t.Helper()
	c, err := net.Dial("tcp", h.feed(name).Address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	return c
}

func accept(t *testing.T, l net.Listener) *net.TCPConn {
	t.Helper()
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// feedAttachment is the id of the feed's own attachment.
func (h *host) feedAttachment(ring, name string) string {
	h.t.Helper()
	var id string
	soon(h.t, "the feed is attached", func() bool {
		list, err := h.b.Attachments(ring)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, a := range list {
			if a.Name == "feed."+name && a.State == wire.StateAttached {
				id = a.ID
			}
		}
		return id != ""
	})
	h.g.Links() // under whose lock the feed has opened it by now
	return id
}

func (h *host) detach(id string) {
	h.t.Helper()
	if err := h.b.Detach(id, func(wire.Attachment, uint64) error { return broker.ErrEvict }); err != nil {
		h.t.Fatal(err)
	}
}

func write(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// nextPayload gives the payload of the next record.
func nextPayload(t testing.TB, r *shmring.Consumer) string {
	t.Helper()
	var payload string
	soon(t, "a record", func() bool {
		record, err := r.TryReceive()
		if err != nil && !errors.Is(err, shmring.ErrEmpty) {
			t.Fatal(err)
		}
		payload = string(record.Payload)
		return err == nil
	})
	return payload
}

func fixMessage(body string) string {
	m := fmt.Sprintf("8=FIX.4.4\x019=%d\x01%s", len(body), body)
	var sum byte
	for i := range len(m) {
		sum += m[i]
	}
	return fmt.Sprintf("%s10=%03d\x01", m, sum)
}
