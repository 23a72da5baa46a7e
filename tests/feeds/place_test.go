package feeds

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// start starts a daemon with rings, feeds and further sections.
func start(t testing.TB, rings, feeds string, more ...string) *harness.Daemon {
	t.Helper()
	return harness.NewPlace(t, binaries, rings, append([]string{"limits: {memory: 4GiB}", "feeds: " + feeds}, more...)...).Start()
}

// feed is how a feed of a daemon is.
func feed(t testing.TB, d *harness.Daemon, name string) client.FeedStatus {
	t.Helper()
	var links client.Links
	d.Object(&links, "links")
	for _, f := range links.Feeds {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("there is no feed %s: %+v", name, links.Feeds)
	return client.FeedStatus{}
}

// waitFeed waits until a feed is as it should be.
func waitFeed(t testing.TB, d *harness.Daemon, name, what string, is func(client.FeedStatus) bool) {
	t.Helper()
	harness.EventuallyEvery(t, 20*time.Millisecond, name+": "+what, func() bool { return is(feed(t, d, name)) })
}

func connections(n int) func(client.FeedStatus) bool {
	return func(f client.FeedStatus) bool { return f.Connections == n }
}

// knock connects to a feed that listens, and waits until the feed has noticed.
func knock(t testing.TB, d *harness.Daemon, name string) *net.TCPConn {
	t.Helper()
	before := feed(t, d, name)
	c, err := net.Dial("tcp", before.Address)
	if err != nil {
		t.Fatal(err)
	}
	waitFeed(t, d, name, "connected", connections(before.Connections+1))
	return bound(t, c)
}

// bound ends a connection with its test, and none of its calls waits for ever.
func bound(t testing.TB, c net.Conn) *net.TCPConn {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(3 * harness.Patience)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// exchange listens, as the other side of a feed that dials.
type exchange struct {
	t testing.TB
	net.Listener
}

func newExchange(t testing.TB) exchange {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return exchange{t, l}
}

func (e exchange) address() string { return e.Addr().String() }

// accept waits for the feed.
func (e exchange) accept() *net.TCPConn {
	e.t.Helper()
	if err := e.Listener.(*net.TCPListener).SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		e.t.Fatal(err)
	}
	c, err := e.Listener.Accept()
	if err != nil {
		e.t.Fatal(err)
	}
	return bound(e.t, c)
}

// framed is the feed, a record a line, in a framing.
func framed(framing string, feed []byte) []byte {
	if framing == "line" {
		return feed
	}
	var out []byte
	for line := range bytes.Lines(feed) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		switch framing {
		case "u16be":
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(line))), line...)
		case "u32be":
			out = append(binary.BigEndian.AppendUint32(out, uint32(len(line))), line...)
		case "fix":
			out = append(out, fixMessage("35=B\x01148="+string(line)+"\x01")...)
		}
	}
	return out
}

// fixMessage puts header and trailer around a body.
func fixMessage(body string) string {
	m := fmt.Sprintf("8=FIX.4.4\x019=%06d\x01%s", len(body), body)
	var sum byte
	for i := range len(m) {
		sum += m[i]
	}
	return fmt.Sprintf("%s10=%03d\x01", m, sum)
}

// numbered are n lines from the from-th on.
func numbered(from, n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "%08d %s\n", from+i, strings.Repeat("x", 100))
	}
	return text.String()
}

// send writes in the background; the result is read when the test needs it.
func send(c net.Conn, stream []byte) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := c.Write(stream)
		done <- err
	}()
	return done
}

// wantStream reads a stream of known bytes.
func wantStream(t testing.TB, what string, r io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(r, got)
	if err != nil {
		t.Fatalf("%s: %d of %d bytes: %v", what, n, len(want), err)
	}
	if !bytes.Equal(got, want) {
		at := 0
		for got[at] == want[at] {
			at++
		}
		t.Fatalf("%s: differs at byte %d of %d: %.60q, want %.60q", what, at, len(want), got[at:], want[at:])
	}
}
