package gateway

import (
	"bufio"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestFeeds has a stream of lines come in at one host, and go out again from its
// mirror at another, and looks at the figures.
func TestFeeds(t *testing.T) {
	t.Parallel()
	in := startHost(t, mdRing, gatewayKeys{name: "a", export: "[md]", below: "feeds: [{name: in, ring: md, listen: \"127.0.0.1:0\", direction: in, framing: line, frame_max: 64B}]"})
	out := startHost(t, "[]", gatewayKeys{name: "b", silent: true, peers: []string{in.asPeer("[md]")}, below: "feeds: [{name: out, ring: md, listen: \"127.0.0.1:0\", direction: out, framing: u16be}]"})
	out.waitLink("a", client.LinkRoleMirror, "md", client.LinkConnected)
	sink := dialFeed(t, out, "out")
	harness.Eventually(t, "the feed reads the ring", func() bool { return harness.RingStats(t, out.client, "md").Consumers == 1 })
	source := dialFeed(t, in, "in")
	const n = 100
	if _, err := io.WriteString(source, lines(0, n)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(sink)
	for i := range n {
		head := make([]byte, 2)
		if _, err := io.ReadFull(r, head); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		body := make([]byte, int(head[0])<<8|int(head[1]))
		if _, err := io.ReadFull(r, body); err != nil {
			t.Fatalf("frame %d: %v", i, err)
		}
		if want := strings.TrimSuffix(lines(i, 1), "\n"); string(body) != want {
			t.Fatalf("frame %d is %q, want %q", i, body, want)
		}
	}
	if got := in.Scrape(); got["brokerd_feed_frames_total{direction=in,feed=in,ring=md}"] != n ||
		got["brokerd_feed_connections{direction=in,feed=in,ring=md}"] != 1 ||
		got["brokerd_feed_state{direction=in,feed=in,ring=md,state=listening}"] != 1 {
		t.Errorf("the figures of the feed in: %v", feedSeries(got))
	}
	if got := out.Scrape(); got["brokerd_feed_frames_total{direction=out,feed=out,ring=md}"] != n {
		t.Errorf("the figures of the feed out: %v", feedSeries(got))
	}

	// A frame that is too long ends its connection, and is told.
	if _, err := io.WriteString(source, strings.Repeat("x", 100)+"\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("after a bad frame the connection goes on: %v", err)
	}
	harness.Eventually(t, "the bad frame is counted", func() bool {
		return in.Scrape()["brokerd_feed_bad_frames_total{direction=in,feed=in,ring=md}"] == 1
	})
	wantIn(t, "brokerctl links", in.Output("links"), "in", "md", "line", "listening")
	wantIn(t, "the log", in.Stderr.String(), "78 78", `"feed":"in"`)
}

func feedSeries(all map[string]float64) map[string]float64 {
	found := map[string]float64{}
	for series, value := range all {
		if strings.HasPrefix(series, "brokerd_feed_") {
			found[series] = value
		}
	}
	return found
}

// dialFeed connects to a feed that listens.
func dialFeed(t *testing.T, h *host, name string) net.Conn {
	t.Helper()
	for _, f := range h.links().Feeds {
		if f.Name == name {
			conn, err := net.Dial("tcp", f.Address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
				t.Fatal(err)
			}
			return conn
		}
	}
	t.Fatalf("%s has no feed %s: %+v", h.keys.name, name, h.links())
	return nil
}
