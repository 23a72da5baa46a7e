package gateway

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// TestFeedIsPatient: the kernel does not end the connection of a feed because the
// other side takes nothing for a while; without that it would, as for a link.
func TestFeedIsPatient(t *testing.T) {
	l := listenRaw(t)
	dials := feedOf("dials", "md", "out", "line")
	dials.Connect = l.Addr().String()
	h := feedHost(t, dials, feedOf("listens", "md", "out", "line"))
	h.ring(wire.RingSpec{Name: "md"})
	_, _ = accept(t, l), h.knock("listens")
	soon(t, "two connections", func() bool { return h.feed("dials").Connections+h.feed("listens").Connections == 2 })
	h.g.loop.mu.Lock()
	defer h.g.loop.mu.Unlock()
	for _, f := range h.g.feeds {
		for s := range f.conns {
			if ms, err := unix.GetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); err != nil || ms != 0 {
				t.Errorf("%s: the kernel gives up after %d ms, %v", f.want.Name, ms, err)
			}
		}
	}
}

// TestFeedSurvivesTruncation: somebody truncates the file of the ring while a feed
// has much to frame. Its connection ends, the gateway does not.
func TestFeedSurvivesTruncation(t *testing.T) {
	h := feedHost(t, feedOf("out", "md", "out", "line"), feedOf("other", "safe", "in", "line"))
	h.ring(wire.RingSpec{Name: "md", Capacity: 4 << 20})
	h.ring(wire.RingSpec{Name: "safe"})
	_ = h.knock("out")
	soon(t, "connected", func() bool { return h.feed("out").Connections == 1 })
	lease := h.attach(wire.AttachIn{Ring: "md", Role: wire.RoleProducer})
	data, err := os.OpenFile(lease.Files[0].Name(), os.O_RDWR, 0)
	if err != nil {
		t.Skip("the lent file has no path: ", err)
	}
	defer data.Close()
	p, err := shmring.OpenProducer(lease.Files[0], lease.Files[1:], shmring.ProducerOptions{
		Slot: lease.Out.Attachment.Slot, Generation: lease.Out.Attachment.Generation,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	if err := data.Truncate(4096); err != nil {
		t.Fatal(err)
	}
	soon(t, "the connection ends", func() bool {
		_ = p.TrySend([]byte("x")) // until it meets the fault itself
		return h.feed("out").Connections == 0
	})
	if reason := h.feed("out").Reason; !strings.Contains(reason, "ring md") {
		t.Errorf("reason %q", reason)
	}
	begin := time.Now()
	write(t, h.knock("other"), "still here\n")
	if got := nextPayload(t, h.reader("safe", shmring.PolicyBlock, shmring.FromOldest())); got != "still here" || time.Since(begin) > patience {
		t.Errorf("got %q", got)
	}
}
