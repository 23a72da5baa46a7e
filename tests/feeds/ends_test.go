package feeds

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestBadFrame: a FIX message with a wrong checksum ends its connection. What came
// before it is published, the log has where and what, counter and metric go up, and
// the feed connects again.
func TestBadFrame(t *testing.T) {
	e := newExchange(t)
	d := start(t, small, fmt.Sprintf("[{name: session, ring: md, connect: %s, direction: in, framing: fix}]", e.address()))
	logon, beat := fixMessage("35=A\x0149=EX\x0156=US\x01"), fixMessage("35=0\x0149=EX\x0156=US\x01")
	broken := strings.Replace(beat, "35=0", "35=1", 1)
	c := e.accept()
	<-send(c, []byte(logon+beat+broken+beat))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("something comes back")
	}
	<-send(e.accept(), []byte(logon))
	waitFeed(t, d, "session", "goes on", func(f client.FeedStatus) bool { return f.Frames == 3 && f.BadFrames == 1 && f.Reconnects == 1 })
	line := d.Logged("feed: a bad frame ends the connection")
	if line == nil || line["offset"] != float64(len(logon)+len(beat)) || line["hex"] != strings.Join(hex(broken[:32]), " ") ||
		!strings.Contains(fmt.Sprint(line["why"]), "CheckSum") {
		t.Errorf("the log says %v", line)
	}
	const labels = "{direction=in,feed=session,ring=md}"
	if got := d.Scrape(); got["brokerd_feed_bad_frames_total"+labels] != 1 || got["brokerd_feed_frames_total"+labels] != 3 ||
		got["brokerd_feed_reconnects_total"+labels] != 1 {
		t.Errorf("the metrics: %v", got)
	}
}

func hex(s string) (all []string) {
	for i := range len(s) {
		all = append(all, fmt.Sprintf("%02x", s[i]))
	}
	return all
}

// TestResetInsideAFrame: the connection breaks in the middle of a frame. That frame
// is lost and nothing else, and the other side's fault is not said to be a frame.
func TestResetInsideAFrame(t *testing.T) {
	e := newExchange(t)
	d := start(t, small, fmt.Sprintf("[{name: in, ring: md, connect: %s, direction: in, framing: line}]", e.address()))
	for round := range 3 {
		c := e.accept()
		<-send(c, []byte(numbered(round, 1)+"half a li"))
		waitFeed(t, d, "in", "has a frame", func(f client.FeedStatus) bool { return f.Frames == uint64(round)+1 })
		if err := c.SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = c.Close() // by a reset
	}
	waitFeed(t, d, "in", "connected again", func(f client.FeedStatus) bool { return f.Reconnects >= 2 })
	if f := feed(t, d, "in"); f.BadFrames != 0 {
		t.Errorf("%+v", f)
	}
	if got := d.Output("attach", "md", "--as", "consumer", "--from", "oldest", "--policy", "skip", "--count", "3"); got != numbered(0, 3) {
		t.Errorf("the ring holds\n%s", got)
	}
}

// TestSilence: idle_timeout ends a connection over which nothing comes, and a feed
// that dials makes the next one.
func TestSilence(t *testing.T) {
	e := newExchange(t)
	d := start(t, small, fmt.Sprintf("[{name: in, ring: md, connect: %s, direction: in, framing: line, idle_timeout: 200ms}]", e.address()))
	c := e.accept()
	begin := time.Now()
	if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(begin) < 150*time.Millisecond {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
	_ = e.accept()
	if line := d.Logged("feed disconnected"); line == nil || !strings.Contains(fmt.Sprint(line["reason"]), "nothing came for 200ms") {
		t.Errorf("the log says %v", line)
	}
}

// TestSlowPeer: on a ring whose policy is demote a peer that does not keep up loses
// records, and every one of them is counted.
func TestSlowPeer(t *testing.T) {
	const records = 200_000
	d := start(t, "[{name: md, capacity: 1MiB, demote_after: 50ms}]",
		`[{name: in, ring: md, listen: "127.0.0.1:0", direction: in, framing: line}, {name: out, ring: md, listen: "127.0.0.1:0", direction: out, framing: line}]`)
	slow := knock(t, d, "out")
	sent := send(knock(t, d, "in"), []byte(numbered(0, records)))
	if err := <-sent; err != nil { // which the slow peer holds up for 50 ms at most
		t.Fatal(err)
	}
	waitFeed(t, d, "in", "all are published", func(f client.FeedStatus) bool { return f.Frames == records })
	lines, got, next, lost := bufio.NewScanner(slow), 0, 0, 0
	for next < records && lines.Scan() {
		n := -1
		if _, err := fmt.Sscanf(lines.Text(), "%d", &n); err != nil || n < next {
			t.Fatalf("%q comes after %d", lines.Text(), next-1)
		}
		lost += n - next
		next = n + 1
		got++
	}
	f := feed(t, d, "out")
	if lost == 0 || got+lost != records || f.Dropped != uint64(lost) || f.Frames != uint64(got) {
		t.Errorf("%d came, %d are missing of %d: %v, %+v", got, lost, records, lines.Err(), f)
	}
}

// TestReloadWhileFeedsRun: feeds come and go, and one that stays notices nothing.
func TestReloadWhileFeedsRun(t *testing.T) {
	const in = `{name: in, ring: md, listen: "127.0.0.1:0", direction: in, framing: line}`
	d := start(t, small, "["+in+"]")
	c := knock(t, d, "in")
	<-send(c, []byte(numbered(0, 10)))
	d.Configure(small, "limits: {memory: 4GiB}", `feeds: [`+in+`, {name: out, ring: md, listen: "127.0.0.1:0", direction: out, framing: line}]`)
	if got := d.Output("reload"); !strings.Contains(got, "feed out was started") {
		t.Errorf("the reload says %q", got)
	}
	out := knock(t, d, "out")
	<-send(c, []byte(numbered(10, 10)))
	wantStream(t, "the new feed", out, []byte(numbered(10, 10)))
	d.Configure(small, "limits: {memory: 4GiB}", "feeds: ["+in+"]")
	if got := d.Output("reload"); !strings.Contains(got, "feed out was stopped") {
		t.Errorf("the reload says %q", got)
	}
	if _, err := out.Read(make([]byte, 1)); err == nil {
		t.Error("a feed that has left the configuration goes on")
	}
	<-send(c, []byte(numbered(20, 10)))
	if got := d.Output("attach", "md", "--as", "consumer", "--from", "oldest", "--policy", "skip", "--count", "30"); got != numbered(0, 30) {
		t.Errorf("the ring holds\n%s", got)
	}
	if f := feed(t, d, "in"); f.Connections != 1 || f.Dropped != 0 {
		t.Errorf("%+v", f)
	}
	harness.Eventually(t, "the reader of the stopped feed is gone", func() bool { return len(harness.Attachments(t, d.Dial(), "md")) == 1 })
}
