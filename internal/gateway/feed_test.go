package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// TestFeedIn: each frame is a record, whichever framing, over several connections.
func TestFeedIn(t *testing.T) {
	order := fixMessage("35=D\x0155=BTC\x01")
	for framing, stream := range map[string][2]string{
		"line": {"one\ntwo\n", "one,two"}, "u16be": {"\x00\x03one\x00\x03two", "one,two"},
		"u32be": {"\x00\x00\x00\x03one\x00\x00\x00\x03two", "one,two"}, "fix": {order + order, order + "," + order},
	} {
		h := feedHost(t, feedOf("in", "md", "in", framing))
		h.ring(wire.RingSpec{Name: "md"})
		r := h.reader("md", shmring.PolicyBlock, shmring.FromOldest())
		for range 2 {
			c := h.knock("in")
			for i := range stream[0] { // in the smallest pieces
				write(t, c, stream[0][i:i+1])
			}
			got := nextPayload(t, r) + "," + nextPayload(t, r)
			if got != stream[1] {
				t.Errorf("%s: got %q, want %q", framing, got, stream[1])
			}
		}
		if s := h.feed("in"); s.Frames != 4 || s.BadFrames != 0 || s.State != feedListening || s.Connections != 2 {
			t.Errorf("%s: %+v", framing, s)
		}
		h.end()
	}
}

// TestFeedBadFrame: it ends its connection, is counted, and the log says where and
// shows the bytes; another connection of the feed does not notice.
func TestFeedBadFrame(t *testing.T) {
	f := feedOf("in", "md", "in", "u16be")
	f.FrameBytesMax = 8
	h := feedHost(t, f)
	h.ring(wire.RingSpec{Name: "md"})
	r := h.reader("md", shmring.PolicyBlock, shmring.FromOldest())
	good, bad := h.knock("in"), h.knock("in")
	write(t, bad, "\x00\x02ok\x00\x09toolong")
	if _, err := bad.Read(make([]byte, 1)); err == nil {
		t.Error("the connection with the bad frame is open")
	}
	if got := nextPayload(t, r); got != "ok" {
		t.Errorf("what came before the bad frame is %q", got)
	}
	write(t, good, "\x00\x04good")
	if got := nextPayload(t, r); got != "good" {
		t.Errorf("the other connection gave %q", got)
	}
	line := h.log.FilterMessageSnippet("bad frame").All()
	if len(line) != 1 || line[0].ContextMap()["offset"] != uint64(4) || !strings.HasPrefix(fmt.Sprint(line[0].ContextMap()["hex"]), "00 09 74") {
		t.Errorf("log: %v", line)
	}
	cut := h.knock("in") // ends inside a frame
	write(t, cut, "\x00\x05ab")
	_ = cut.Close()
	soon(t, "two bad frames", func() bool { return h.feed("in").BadFrames == 2 })
}

// TestFeedHoldsItsSenderBack: nothing is lost while the ring is full, and the
// connections beyond connections_max are refused.
func TestFeedHoldsItsSenderBack(t *testing.T) {
	const records, size = 4000, 100 // six rings full
	f := feedOf("in", "md", "in", "line")
	f.ConnectionsMax = 1
	h := feedHost(t, f)
	h.ring(wire.RingSpec{Name: "md"})
	r := h.reader("md", shmring.PolicyBlock, shmring.FromOldest())
	c := h.knock("in")
	sent := make(chan error, 1)
	go func() {
		var stream bytes.Buffer
		for i := range records {
			fmt.Fprintf(&stream, "%0*d\n", size, i)
		}
		_, err := c.Write(stream.Bytes())
		sent <- err
	}()
	soon(t, "the ring is full", func() bool { return h.feed("in").Frames > 400 })
	second := h.knock("in")
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("a second connection was taken, connections_max is 1")
	}
	for i := range records {
		if got := nextPayload(t, r); got != fmt.Sprintf("%0*d", size, i) {
			t.Fatalf("record %d is %q", i, got)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}

// TestFeedOut: records become frames, for each connection of a feed that listens;
// one that cannot be framed is counted and left out.
func TestFeedOut(t *testing.T) {
	h := feedHost(t, feedOf("out", "md", "out", "line"))
	h.ring(wire.RingSpec{Name: "md"})
	first, second := bufio.NewReader(h.knock("out")), bufio.NewReader(h.knock("out"))
	soon(t, "two connections", func() bool { return h.feed("out").Connections == 2 })
	p := h.writer("md")
	for _, text := range []string{"one", "not\nthis", "two"} {
		if err := p.TrySend([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []*bufio.Reader{first, second} {
		for _, want := range []string{"one\n", "two\n"} {
			if got, err := c.ReadString('\n'); got != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		}
	}
	if s := h.feed("out"); s.Frames != 4 || s.Dropped != 2 {
		t.Errorf("%+v", s)
	}
}

// TestFeedDials: a feed that connects does so again and again, and what was
// published while there was no connection comes after all.
func TestFeedDials(t *testing.T) {
	l := listenRaw(t)
	f := feedOf("out", "md", "out", "u32be")
	f.Connect = l.Addr().String()
	h := feedHost(t, f)
	h.ring(wire.RingSpec{Name: "md"})
	p := h.writer("md")
	for round := range 3 {
		c := accept(t, l)
		if round == 0 {
			soon(t, "connected", func() bool { return h.feed("out").State == string(wire.LinkConnected) })
			if err := p.TrySend([]byte("r0")); err != nil {
				t.Fatal(err)
			}
		}
		frame := make([]byte, 6)
		if _, err := io.ReadFull(c, frame); err != nil || string(frame) != fmt.Sprintf("\x00\x00\x00\x02r%d", round) {
			t.Fatalf("round %d: %q, %v", round, frame, err)
		}
		_ = c.Close()
		soon(t, "no connection", func() bool { return h.feed("out").Connections == 0 })
		if err := p.TrySend([]byte(fmt.Sprintf("r%d", round+1))); err != nil {
			t.Fatal(err)
		}
	}
	if s := h.feed("out"); s.Reconnects < 2 {
		t.Errorf("%+v", s)
	}
}

// TestFeedIdle: a connection over which nothing comes is closed, one over which
// nothing is to be sent is not.
func TestFeedIdle(t *testing.T) {
	in, out := feedOf("in", "md", "in", "line"), feedOf("out", "md", "out", "line")
	in.IdleTimeout, out.IdleTimeout = 50*time.Millisecond, 50*time.Millisecond
	h := feedHost(t, in, out)
	h.ring(wire.RingSpec{Name: "md"})
	reading := h.knock("out")
	c := h.knock("in")
	begin := time.Now()
	if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(begin) < 40*time.Millisecond {
		t.Errorf("closed after %v with %v", time.Since(begin), err)
	}
	if s := h.feed("in"); !strings.Contains(s.Reason, "idle for too long: nothing came for 50ms") {
		t.Errorf("reason %q", s.Reason)
	}
	p := h.writer("md")
	if err := p.TrySend([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	if got, err := bufio.NewReader(reading).ReadString('\n'); got != "still here\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestFeedWithoutRing: the reason is told, and the feed works once the ring is
// there; a reload takes feeds out and puts them in.
func TestFeedWithoutRing(t *testing.T) {
	h := feedHost(t, feedOf("in", "md", "in", "line"))
	s := h.g.settings
	c := h.knock("in")
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a connection for a ring that is not there stays open")
	}
	if reason := h.feed("in").Reason; !strings.Contains(reason, "there is no ring md") {
		t.Errorf("reason %q", reason)
	}
	h.ring(wire.RingSpec{Name: "md"})
	write(t, h.knock("in"), "works\n")
	if got := nextPayload(t, h.reader("md", shmring.PolicyBlock, shmring.FromOldest())); got != "works" {
		t.Errorf("got %q", got)
	}
	other := feedOf("other", "md", "out", "line")
	other.Listen = "127.0.0.1:0"
	s.Feeds = []Feed{other}
	if changed, _ := h.apply(s); len(changed) != 2 {
		t.Errorf("changed: %q", changed)
	}
	if list := h.g.Links().Feeds; len(list) != 1 || list[0].Name != "other" {
		t.Errorf("feeds: %+v", list)
	}
	taken := other
	taken.Name, taken.Listen = "taken", h.feed("other").Address
	s.Feeds = []Feed{other, taken}
	if _, _, err := h.g.Apply(Settings{Name: "a", Listen: h.g.settings.Listen, HandshakeTimeout: s.HandshakeTimeout, DeadAfter: s.DeadAfter, Feeds: s.Feeds}); err == nil {
		t.Error("an address that is taken was accepted")
	}
	if list := h.g.Links().Feeds; len(list) != 1 || list[0].Name != "other" {
		t.Errorf("feeds after a refused reload: %+v", list)
	}
}
