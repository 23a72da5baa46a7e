package feeds

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestKilledDaemon kills the daemon while a stream comes in and goes out, and
// starts it again.
//
// In: what the other side had sent and the daemon had not published is lost, one
// piece of the stream; nothing comes twice, nothing is out of order.
//
// Out: whoever was connected has the stream up to some record; the feed goes on with
// what is published after it has come back. What lies between is lost.
func TestKilledDaemon(t *testing.T) {
	source, sink := newExchange(t), newExchange(t)
	d := start(t, "[{name: md, capacity: 64MiB, policy: skip}]",
		fmt.Sprintf("[{name: in, ring: md, connect: %s, direction: in, framing: line}, {name: out, ring: md, connect: %s, direction: out, framing: line}]",
			source.address(), sink.address()))
	out := sink.accept()
	waitFeed(t, d, "out", "connected", connections(1))
	sentBefore := pour(t, source.accept(), 0, func() bool { return feed(t, d, "in").Frames > 2000 }, d.Kill)
	outBefore := read(out, 1<<30) // all that is left: the other side is gone
	if outBefore.from != 0 || outBefore.holes != 0 || outBefore.next < 1000 {
		t.Errorf("before the kill %+v went out", outBefore)
	}

	d = d.Place.Start()
	c, again := source.accept(), sink.accept()
	waitFeed(t, d, "out", "connected", connections(1))
	const more = 1000
	<-send(c, []byte(numbered(sentBefore, more)))
	waitFeed(t, d, "in", "goes on", func(f client.FeedStatus) bool { return f.Frames == more })
	waitFeed(t, d, "out", "goes on", func(f client.FeedStatus) bool { return f.Frames == more })
	outAfter := read(again, sentBefore+more)
	if outAfter.from != sentBefore || outAfter.next != sentBefore+more || outAfter.holes != 0 {
		t.Errorf("after it %+v went out, sent was %d to %d", outAfter, sentBefore, sentBefore+more)
	}

	stats := harness.RingStats(t, d.Dial(), "md")
	ring := harness.Launch(t, d.Command("attach", "md", "--as", "consumer", "--from", "oldest", "--policy", "skip", "--count", fmt.Sprint(stats.Sequence)))
	ring.Expect(0)
	published := scan(bufio.NewScanner(strings.NewReader(ring.Stdout.String())), sentBefore+more)
	t.Logf("sent %d, published %d in one hole of %d, out before the kill up to %d", sentBefore+more, stats.Sequence, published.lost, outBefore.next)
	if published.from != 0 || published.holes > 1 || published.next != sentBefore+more || published.lost != sentBefore+more-int(stats.Sequence) {
		t.Errorf("the ring holds %+v of %d", published, sentBefore+more)
	}
	if outBefore.next > int(stats.Sequence)-more {
		t.Errorf("%d records went out before the kill, %d were published", outBefore.next, int(stats.Sequence)-more)
	}
}

// pour sends numbered lines, as fast as the feed takes them, until enough says so;
// then then is called, and pouring goes on until the connection breaks. It returns
// the number of the first line that was not sent whole.
func pour(t testing.TB, c net.Conn, from int, enough func() bool, then func()) int {
	t.Helper()
	next := make(chan int, 1)
	go func() {
		for n := from; ; n++ {
			if _, err := c.Write([]byte(numbered(n, 1))); err != nil {
				next <- n
				return
			}
			if n%64 == 0 {
				time.Sleep(time.Millisecond) // a stream, not a file
			}
		}
	}()
	harness.EventuallyEvery(t, 10*time.Millisecond, "enough has come", enough)
	then()
	return <-next
}

// stretch is what came of a numbered stream.
type stretch struct {
	from, next  int // the first record, and the one behind the last
	holes, lost int
}

// scan reads numbered lines up to the one before end, or until the stream ends. A
// line that is cut short is none.
func scan(lines *bufio.Scanner, end int) stretch {
	s := stretch{from: -1}
	for s.next < end && lines.Scan() {
		n := 0
		if _, err := fmt.Sscanf(lines.Text(), "%d", &n); err != nil || lines.Text()+"\n" != numbered(n, 1) {
			break
		}
		if s.from < 0 {
			s.from, s.next = n, n
		}
		if n != s.next {
			s.holes++
			s.lost += n - s.next
		}
		s.next = n + 1
	}
	return s
}

func read(c net.Conn, end int) stretch { return scan(bufio.NewScanner(c), end) }
