package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
)

// loopRig is a loop that runs until the test ends, which then checks that no
// goroutine and no descriptor is left.
type loopRig struct {
	t     testing.TB
	l     *loop
	turns atomic.Int64
	stop  context.CancelFunc
	done  chan error
}

func newLoopRig(t testing.TB, o loopOptions) *loopRig {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	connectToNobody() // makes what Go keeps open for all sockets
	before := descriptors(t)
	r := &loopRig{t: t, done: make(chan error, 1)}
	if o.Log == nil {
		o.Log = zaptest.NewLogger(t)
	}
	o.BeforeSleep = func(int64) bool { r.turns.Add(1); return false }
	l, err := newLoop(o)
	if err != nil {
		t.Fatal(err)
	}
	r.l = l
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.done <- l.run(ctx, nil) }()
	t.Cleanup(func() {
		r.end()
		goleak.VerifyNone(t, ignore)
		soon(t, "every descriptor is closed", func() bool { return descriptors(t) <= before })
	})
	return r
}

// end stops the loop and waits for it.
func (r *loopRig) end() {
	r.t.Helper()
	r.stop()
	select {
	case err := <-r.done:
		if !errors.Is(err, context.Canceled) {
			r.t.Errorf("run returned %v", err)
		}
		r.done <- context.Canceled // for a second end
	case <-time.After(10 * time.Second):
		r.t.Fatal("run does not return")
	}
}

// with runs fn with the lock held.
func (r *loopRig) with(fn func()) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	fn()
}

// listen makes a listener whose sessions echo; each shows up in the channel.
func (r *loopRig) listen(o listenOptions) (address string, sessions chan *echo) {
	r.t.Helper()
	sessions = make(chan *echo, 20000)
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	if o.Accept == nil {
		o.Accept = func(s *socket) session {
			e := newEcho(s)
			sessions <- e
			return e
		}
	}
	var ln *listener
	var err error
	r.with(func() { ln, err = r.l.listen(o) })
	if err != nil {
		r.t.Fatal(err)
	}
	return ln.addr(), sessions
}

// dialed is what became of a dial.
type dialed struct {
	e   *echo
	err error
}

// dial connects through the loop; the session sends what it is told to, and
// keeps what it receives.
func (r *loopRig) dial(o dialOptions) (result chan dialed, cancel func()) {
	result = make(chan dialed, 1)
	o.Done = func(s *socket, err error) session {
		if err != nil {
			result <- dialed{nil, err}
			return nil
		}
		e := newEcho(s)
		e.keep = true
		result <- dialed{e, nil}
		return e
	}
	var locked func()
	r.with(func() { locked = r.l.dial(o) })
	return result, func() { r.with(locked) }
}

// echo is a session that sends back what it receives, or keeps it. Its fields
// are guarded by the loop's lock.
type echo struct {
	s       *socket
	keep    bool
	kept    []byte
	out     []byte
	landing []byte // what direct gives
	lent    []byte // what output gives after out
	onInput func(p []byte) error
	nextDue int64
	ticks   int
	ended   int // calls of closed
	end     chan error
}

func newEcho(s *socket) *echo {
	s.authenticated()
	return &echo{s: s, nextDue: never, end: make(chan error, 1)}
}

func (e *echo) direct() []byte { return e.landing }

func (e *echo) landed(_ int64, n int) error {
	e.take(e.landing[:n])
	e.landing = e.landing[n:]
	return nil
}

func (e *echo) input(_ int64, p []byte) error {
	if e.onInput != nil {
		return e.onInput(p)
	}
	e.take(p)
	return nil
}

func (e *echo) take(p []byte) {
	if e.keep {
		e.kept = append(e.kept, p...)
	} else {
		e.out = append(e.out, p...)
	}
}

func (e *echo) output() (bufs [][]byte) {
	// In pieces, so that the edges between slices are met.
	for rest := e.out; len(rest) > 0; {
		n := min(len(rest), 5000)
		bufs, rest = append(bufs, rest[:n]), rest[n:]
	}
	if len(e.lent) > 0 {
		bufs = append(bufs, e.lent)
	}
	return bufs
}

func (e *echo) sent(n int) error {
	k := min(n, len(e.out))
	e.out, e.lent = e.out[k:], e.lent[n-k:]
	return nil
}

func (e *echo) tick(int64) (int64, error) {
	e.ticks++
	return e.nextDue, nil
}

func (e *echo) closed(cause error) {
	e.ended++
	e.end <- cause
}

// ending waits for closed and returns its cause.
func (e *echo) ending(t testing.TB) error {
	t.Helper()
	select {
	case err := <-e.end:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("the session is not told that its socket is closed")
		return nil
	}
}

func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: nothing for 10 s", what)
		panic("not reached")
	}
}

func soon(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not after 10 s: %s", what)
		}
	}
}

func connectToNobody() {
	if conn, err := net.DialTimeout("tcp", "127.0.0.1:1", time.Second); err == nil {
		_ = conn.Close()
	}
}

func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func noise(t testing.TB, n int) []byte {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	p := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(p) // never fails
	return p
}

// connect dials with the standard library, through TLS if config is given.
func connect(t testing.TB, address string, config *tls.Config) net.Conn {
	t.Helper()
	raw, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	if err := raw.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if config == nil {
		return raw
	}
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	return conn
}

// exchange sends p and expects it back.
func exchange(t testing.TB, conn net.Conn, p []byte) {
	t.Helper()
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(p)
		sent <- err
	}()
	got := make([]byte, len(p))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, p) {
		t.Fatal("what came back is not what was sent")
	}
}
