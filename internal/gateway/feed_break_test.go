package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"brokerd/internal/broker"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

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

func market(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
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

// TestFeedDetached: an administrator ends the attachment of a feed over which
// nothing comes. Its connections end, and the next one works.
func TestFeedDetached(t *testing.T) {
	for _, direction := range []string{"in", "out"} {
		t.Run(direction, func(t *testing.T) {
			h := feedHost(t, feedOf("f", "md", direction, "line"))
			h.ring(wire.RingSpec{Name: "md"})
			first, second := h.knock("f"), h.knock("f")
			soon(t, "two connections", func() bool { return h.feed("f").Connections == 2 })
			h.detach(h.feedAttachment("md", "f"))
			if direction == "out" {
				h.detach(h.feedAttachment("md", "f")) // of the other connection
			}
			for _, c := range []net.Conn{first, second} {
				if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
					t.Errorf("after the detachment: %v", err)
				}
			}
			if reason := h.feed("f").Reason; !strings.Contains(reason, "an administrator ended it") && !strings.Contains(reason, shmring.ErrDetached.Error()) {
				t.Errorf("reason %q", reason)
			}
			c := h.knock("f")
			soon(t, "a connection", func() bool { return h.feed("f").Connections == 1 })
			if direction == "in" {
				r := h.reader("md", shmring.PolicyBlock, shmring.FromOldest())
				write(t, c, "again\n")
				if got := nextPayload(t, r); got != "again" {
					t.Errorf("got %q", got)
				}
			} else {
				publish(t, h.writer("md"), 0, 1)
				if got, err := bufio.NewReader(c).ReadString('\n'); err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
}

// TestFeedRingMadeAnew: a ring is removed and made anew. A feed that dials goes on
// with the first record of the new one, also when it was published before the feed
// had noticed.
func TestFeedRingMadeAnew(t *testing.T) {
	l := market(t)
	f := feedOf("out", "md", "out", "line")
	f.Connect = l.Addr().String()
	h := feedHost(t, f)
	h.ring(wire.RingSpec{Name: "md"})
	for round := range 3 {
		if round == 0 {
			h.feedAttachment("md", "out")
		}
		p := h.writer("md")
		for i := range 3 {
			if err := p.TrySend(fmt.Appendf(nil, "%d.%d", round, i)); err != nil {
				t.Fatal(err)
			}
		}
		lines := bufio.NewReader(accept(t, l))
		for i := range 3 {
			if got, err := lines.ReadString('\n'); got != fmt.Sprintf("%d.%d\n", round, i) {
				t.Fatalf("round %d, record %d: %q, %v", round, i, got, err)
			}
		}
		if err := h.b.RemoveRing("md", true); err != nil {
			t.Fatal(err)
		}
		h.ring(wire.RingSpec{Name: "md"})
	}
	if d := h.feed("out").Dropped; d != 0 {
		t.Errorf("%d dropped", d)
	}
}

// TestFeedPeerLeavesBacklog: the other side goes while the ring has much for it.
// What was not handed to it comes over the next connection, in order.
func TestFeedPeerLeavesBacklog(t *testing.T) {
	const records = 60000
	l := market(t)
	f := feedOf("out", "md", "out", "line")
	f.Connect = l.Addr().String()
	h := feedHost(t, f)
	h.ring(wire.RingSpec{Name: "md", Capacity: 32 << 20})
	first := accept(t, l)
	if err := first.SetReadBuffer(256 << 10); err != nil {
		t.Fatal(err)
	}
	p := h.writer("md")
	for i := range records {
		if err := p.TrySend(fmt.Appendf(nil, "%0200d", i)); err != nil {
			t.Fatal(err)
		}
	}
	var stable uint64
	soon(t, "the socket takes no more", func() bool {
		before := stable
		stable = h.feed("out").Frames
		time.Sleep(20 * time.Millisecond)
		return stable > 0 && stable == before
	})
	begin, span := cpuTime(t), 300*time.Millisecond
	time.Sleep(span) // to see that nothing spins meanwhile
	if used := cpuTime(t) - begin; used > span/3 {
		t.Errorf("a feed that waits for its peer used %v of %v", used, span)
	}
	if err := first.CloseWrite(); err != nil { // it goes on reading: what is counted is what it was given
		t.Fatal(err)
	}
	last := -1
	read := func(c net.Conn) {
		lines := bufio.NewScanner(c)
		for last < records-1 && lines.Scan() {
			n := -1
			if _, err := fmt.Sscanf(lines.Text(), "%d", &n); err != nil || len(lines.Text()) < 200 {
				return // cut short by the end
			}
			if n != last+1 {
				t.Fatalf("record %d comes after %d", n, last)
			}
			last = n
		}
	}
	read(first)
	if last < 0 || last == records-1 {
		t.Fatalf("the first connection brought records up to %d of %d", last, records)
	}
	read(accept(t, l))
	if s := h.feed("out"); last != records-1 || s.Dropped != 0 {
		t.Errorf("records up to %d of %d came, %+v", last, records, s)
	}
}

// cpuTime is what this process has used.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestFeedPeerIsGone: when the end of the other side's stream is known nothing more
// is handed on, so the next connection gets it.
func TestFeedPeerIsGone(t *testing.T) {
	l := market(t)
	f := feedOf("out", "md", "out", "line")
	f.Connect = l.Addr().String()
	h := feedHost(t, f)
	h.ring(wire.RingSpec{Name: "md"})
	first := accept(t, l)
	soon(t, "connected", func() bool { return h.feed("out").Connections == 1 })
	h.g.loop.mu.Lock()
	for s := range h.g.feeds[0].conns {
		s.hung = true // as the poller says
	}
	h.g.loop.mu.Unlock()
	if err := h.writer("md").TrySend([]byte("one")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // in which it must not be sent
	_ = first.Close()
	if got, err := bufio.NewReader(accept(t, l)).ReadString('\n'); got != "one\n" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestFeedIdlePeer: a peer that takes nothing is given up after idle_timeout, also
// while the ring has news all the time, and with a loop that never sleeps. Without
// one it is waited for.
func TestFeedIdlePeer(t *testing.T) {
	for _, busy := range []bool{false, true} {
		leaks(t)
		s := settingsOf("a")
		s.BusyPoll = busy
		patient, hasty := feedOf("patient", "md", "out", "line"), feedOf("hasty", "md", "out", "line")
		patient.Listen, hasty.Listen = "127.0.0.1:0", "127.0.0.1:0"
		hasty.IdleTimeout = 300 * time.Millisecond
		s.Feeds = []Feed{patient, hasty}
		h := newHost(t, ringDir(t), s)
		h.ring(wire.RingSpec{Name: "md", Capacity: 16 << 20, Policy: wire.PolicySkip})
		slow := h.knock("patient")
		_ = h.knock("hasty")
		soon(t, "connected", func() bool { return h.feed("patient").Connections == 1 && h.feed("hasty").Connections == 1 })
		p := h.writer("md")
		line := bytes.Repeat([]byte("x"), 3000)
		soon(t, "the feed with idle_timeout gives up", func() bool {
			for range 50 { // the ring always has news for both
				if err := p.TrySend(line); err != nil {
					t.Fatal(err)
				}
			}
			return h.feed("hasty").Connections == 0
		})
		if s := h.feed("hasty"); !strings.Contains(s.Reason, "took nothing for 300ms") {
			t.Errorf("with idle_timeout: %+v", s)
		}
		if s := h.feed("patient"); s.Connections != 1 {
			t.Errorf("without: %+v", s)
		}
		if got, err := bufio.NewReader(slow).ReadString('\n'); len(got) != len(line)+1 {
			t.Errorf("the slow peer reads %d bytes, %v", len(got), err)
		}
		h.end()
	}
}

// TestFeedFullRingIsNoSilence: a connection that was not read because the ring was
// full is not idle. What finds no room until the end is counted.
func TestFeedFullRingIsNoSilence(t *testing.T) {
	f := feedOf("in", "md", "in", "line")
	f.IdleTimeout = 200 * time.Millisecond
	h := feedHost(t, f)
	h.ring(wire.RingSpec{Name: "md"})
	r := h.reader("md", shmring.PolicyBlock, shmring.FromOldest())
	c := h.knock("in")
	const records = 2000 // of 1000 bytes: 30 rings
	sent := make(chan error, 1)
	go func() {
		for i := range records {
			if _, err := fmt.Fprintf(c, "%01000d\n", i); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	soon(t, "the ring is full", func() bool { return h.feed("in").Frames >= 50 })
	time.Sleep(2 * f.IdleTimeout)
	for i := range records / 2 {
		if got := nextPayload(t, r); got != fmt.Sprintf("%01000d", i) {
			t.Fatalf("record %d is %q", i, got)
		}
	}
	soon(t, "the ring is full again", func() bool { return h.feed("in").Frames >= records/2+50 })
	before := h.feed("in")
	s := h.g.settings
	s.Feeds = nil
	h.apply(s)
	line := h.log.FilterMessage("feed disconnected").All()
	if len(line) != 1 {
		t.Fatalf("log: %v", line)
	}
	lost, _ := line[0].ContextMap()["frames_lost"].(int64)
	if lost == 0 || before.Frames+uint64(lost) > records {
		t.Errorf("published %d, lost %d", before.Frames, lost)
	}
	<-sent // with an error, or all of it in the kernel
}

// TestFeedProducerTaken: a feed that dials does not bother the other side while
// somebody else publishes into its ring.
func TestFeedProducerTaken(t *testing.T) {
	l := market(t)
	f := feedOf("in", "md", "in", "line")
	f.Connect = l.Addr().String()
	leaks(t)
	s := settingsOf("a")
	h := newHost(t, ringDir(t), s)
	h.ring(wire.RingSpec{Name: "md"})
	other := h.attach(wire.AttachIn{Ring: "md", Role: wire.RoleProducer})
	s.Feeds = []Feed{f}
	h.apply(s)
	soon(t, "the reason", func() bool {
		s := h.feed("in")
		return s.State == string(wire.LinkWaiting) && strings.Contains(s.Reason, "producer")
	})
	if err := l.(*net.TCPListener).SetDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if c, err := l.Accept(); err == nil {
		_ = c.Close()
		t.Error("it connects all the same")
	}
	for _, file := range other.Files {
		_ = file.Close()
	}
	if err := h.b.Detach(other.Out.Attachment.ID, func(wire.Attachment, uint64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	write(t, accept(t, l), "works\n")
	if got := nextPayload(t, h.reader("md", shmring.PolicyBlock, shmring.FromOldest())); got != "works" {
		t.Errorf("got %q", got)
	}
}

// TestFeedLargeFIX takes a message of a megabyte, in and out.
func TestFeedLargeFIX(t *testing.T) {
	in, out := feedOf("in", "md", "in", "fix"), feedOf("out", "md", "out", "fix")
	in.FrameBytesMax, out.FrameBytesMax = 2<<20, 2<<20
	h := feedHost(t, in, out)
	recordMax := uint64(2<<20 - 64)
	h.ring(wire.RingSpec{Name: "md", Capacity: 16 << 20, RecordMax: &recordMax})
	c, from := h.knock("out"), h.knock("in")
	soon(t, "connected", func() bool { return h.feed("out").Connections == 1 })
	message := fixMessage("35=B\x0158=" + strings.Repeat("headline ", 1<<20/9) + "\x01")
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(from, message+message)
		sent <- err
	}()
	got := make([]byte, 2*len(message))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != message+message {
		t.Errorf("%d bytes, equal %v, %v", len(got), string(got) == message+message, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestFeedsMax has as many feeds as the configuration takes, half of them in.
func TestFeedsMax(t *testing.T) {
	const pairs = 128
	var feeds []Feed
	for i := range pairs {
		ring := fmt.Sprintf("r%d", i%16)
		feeds = append(feeds, feedOf(fmt.Sprintf("in%d", i), ring, "in", "line"), feedOf(fmt.Sprintf("out%d", i), ring, "out", "u16be"))
	}
	h := feedHost(t, feeds...)
	for i := range 16 {
		h.ring(wire.RingSpec{Name: fmt.Sprintf("r%d", i), Producers: wire.ProducersMany})
	}
	var sources, sinks []net.Conn
	for i := range pairs {
		sources = append(sources, h.knock(fmt.Sprintf("in%d", i)))
		sinks = append(sinks, h.knock(fmt.Sprintf("out%d", i)))
	}
	soon(t, "all are connected", func() bool {
		n := 0
		for _, f := range h.g.Links().Feeds {
			n += f.Connections
		}
		return n == 2*pairs
	})
	for i, c := range sources {
		write(t, c, fmt.Sprintf("%03d\n", i))
	}
	for i, c := range sinks {
		got := make([]byte, pairs/16*5)
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Contains(got, fmt.Appendf(nil, "\x00\x03%03d", i)) {
			t.Errorf("sink %d: %q, %v", i, got, err)
		}
	}
}
