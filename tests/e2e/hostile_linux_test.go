package e2e

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	silentConnections = 1000
	// honestMax is how long an honest client may take to attach among them.
	honestMax = time.Second
	// partialTimeout is how long the daemon waits for the rest of a message;
	// docs/PROTOCOL.md.
	partialTimeout = 10 * time.Second
	// growthBytesMax bounds what a hostile client may make the daemon grow by.
	growthBytesMax = 64 << 20
)

// connect opens a connection that says nothing.
func (p place) connect() net.Conn {
	p.T.Helper()
	var conn net.Conn
	var err error
	harness.Eventually(p.T, "room in the backlog", func() bool {
		conn, err = net.Dial("unix", p.Socket)
		return !errors.Is(err, syscall.EAGAIN)
	})
	if err != nil {
		p.T.Fatal(err)
	}
	p.T.Cleanup(func() { _ = conn.Close() })
	return conn
}

// attachHonestly attaches a reader, from dialing on, and returns how long it took.
func (p place) attachHonestly() (time.Duration, error) {
	begin := time.Now()
	ctx := harness.Bounded(p.T)
	c, err := client.Dial(ctx, client.Options{Socket: p.Socket})
	if err != nil {
		return 0, err
	}
	r, err := c.Consumer(ctx, "md", client.ConsumerOptions{})
	took := since(begin)
	if err == nil {
		err = r.Close()
	}
	return took, errors.Join(err, c.Close())
}

// TestSilentConnections opens a thousand of them, with room for all and with
// room for a few.
func TestSilentConnections(t *testing.T) {
	p := newPlace(t, smallRing)
	d := p.Start()
	before := harness.MemoryPeak(t, d.PID())
	for range silentConnections {
		p.connect()
	}
	took, err := p.attachHonestly()
	if err != nil || took > honestMax {
		t.Errorf("an honest client attached after %v, %v; want at most %v", took, err, honestMax)
	}
	t.Logf("among %d silent connections an honest client attached in %v; the daemon grew by %d KiB",
		silentConnections, took, (harness.MemoryPeak(t, d.PID())-before)>>10)
	var s client.Status
	p.Object(&s, "status")
	if s.Connections <= silentConnections || s.State != client.DaemonReady {
		t.Errorf("status %+v, want more than %d connections", s, silentConnections)
	}
}

func TestMoreConnectionsThanAllowed(t *testing.T) {
	p := newPlace(t, smallRing, "limits: {connections: 100}")
	p.Start()
	attached := p.Dial() // idle from now on, and not to be turned out
	reader, err := attached.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for range silentConnections {
		p.connect()
	}
	begin, tries := time.Now(), 0
	harness.Eventually(t, "an honest client gets in", func() bool {
		tries++
		_, err := p.attachHonestly()
		if err != nil && !errors.Is(err, client.ErrLimitExceeded) && !errors.Is(err, client.ErrUnreachable) {
			t.Fatal(err)
		}
		return err == nil
	})
	t.Logf("%d silent connections and room for 100: in after %v, %d tries", silentConnections, since(begin), tries)
	if list := harness.Attachments(t, p.Dial(), "md"); len(list) != 1 || list[0].ID != reader.ID() || list[0].State != client.StateAttached {
		t.Errorf("the idle reader was turned out: %+v", list)
	}
}

// TestHugeMessage sends 100 MB that end in nothing.
func TestHugeMessage(t *testing.T) {
	p := newPlace(t, smallRing)
	d := p.Start()
	before := harness.MemoryPeak(t, d.PID())
	conn := p.connect()
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	sent, piece := 0, bytes.Repeat([]byte("x"), 1<<20)
	for err := error(nil); err == nil && sent < 100<<20; {
		var n int
		n, err = conn.Write(piece)
		sent += n
	}
	if sent >= 100<<20 {
		t.Error("the daemon took all of it")
	}
	expectErrorAndClose(t, conn, "org.varlink.service.InvalidParameter")
	grown := harness.MemoryPeak(t, d.PID()) - before
	t.Logf("the connection was closed after %d KiB; the daemon grew by %d KiB", sent>>10, grown>>10)
	if grown > growthBytesMax {
		t.Errorf("the daemon grew by %d bytes", grown)
	}
	if took, err := p.attachHonestly(); err != nil || took > honestMax {
		t.Errorf("afterwards: %v, %v", took, err)
	}
}

// TestNoise sends what is no protocol.
func TestNoise(t *testing.T) {
	p := newPlace(t, smallRing)
	d := p.Start()
	for _, noise := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n\x00",
		"\x16\x03\x01\x02\x00\x01\x00\x00",
		"\x00\x00\x00\x00",
		"{\x00",
		"[]\x00",
		"null\x00",
		`{"method":7}` + "\x00",
		`{"method":"io.brokerd.Broker.Attach","parameters":[1]}` + "\x00",
		`{"method":"io.brokerd.Broker.Attach","parameters":{"ring":"md","role":"consumer","policy":{}}}` + "\x00",
		strings.Repeat("{\"a\":", 10_000) + "\x00",
	} {
		conn := p.connect()
		if _, err := io.WriteString(conn, noise); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(harness.Patience)); err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(conn)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%.40q: it is not closed: %v", noise, err)
		}
		if !strings.HasSuffix(noise, "\x00") && len(said) == 0 {
			continue // it ended within a message: there is nobody to answer
		}
		if !bytes.Contains(said, []byte(`"error":"`)) {
			t.Errorf("%.40q: no named error: %q", noise, said)
		}
	}
	if !d.Running() {
		t.Fatal("the daemon is gone")
	}
	if took, err := p.attachHonestly(); err != nil || took > honestMax {
		t.Errorf("afterwards: %v, %v", took, err)
	}
}

// TestHalfSentMessage is answered with an error when its time is over, and
// holds nobody up meanwhile.
func TestHalfSentMessage(t *testing.T) {
	t.Parallel() // it only waits
	p := newPlace(t, smallRing)
	p.Start()
	conn := p.connect()
	if _, err := io.WriteString(conn, `{"method":"io.brokerd.Broker.GetSt`); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if took, err := p.attachHonestly(); err != nil || took > honestMax {
		t.Errorf("meanwhile: %v, %v", took, err)
	}
	if err := conn.SetReadDeadline(begin.Add(partialTimeout + harness.Patience)); err != nil {
		t.Fatal(err)
	}
	expectErrorAndClose(t, conn, "org.varlink.service.InvalidParameter")
	if took := time.Since(begin); took < partialTimeout-time.Second {
		t.Errorf("it was given %v, want %v", took, partialTimeout)
	}
}

// expectErrorAndClose reads a reply with that error and then the end. The reply
// may be lost where the daemon closes before everything sent to it is read.
func expectErrorAndClose(t *testing.T, conn net.Conn, name string) {
	t.Helper()
	said, err := io.ReadAll(conn)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection is not closed: %v", err)
	}
	if !bytes.Contains(said, []byte(name)) {
		t.Errorf("it said %q, want %s", said, name)
	}
}
