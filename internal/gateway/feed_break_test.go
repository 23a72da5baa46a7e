package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

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
	l := listenRaw(t)
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
	l := listenRaw(t)
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
	l := listenRaw(t)
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

// TestFeedProducerTaken: a feed that dials does not bother the other side while
// somebody else publishes into its ring.
func TestFeedProducerTaken(t *testing.T) {
	l := listenRaw(t)
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
