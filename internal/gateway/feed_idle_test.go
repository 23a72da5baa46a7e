package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

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
