package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"brokerd/internal/wire"
)

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
