package control

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"brokerd/internal/broker"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// TestMain fails the package when a goroutine outlives its test.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waitMax is how long a test waits for what should happen at once.
const waitMax = 10 * time.Second

// host is a server over a broker of its own, on a socket of its own.
type host struct {
	t      testing.TB
	broker *broker.Broker
	server *Server
	path   string
	stop   context.CancelFunc
	served chan error // the result of Serve

	state atomic.Value // string
	beats atomic.Int64

	mu       sync.Mutex
	observed map[string]int
}

// newHost starts a server; change may alter its options and the server before
// it serves.
func newHost(t testing.TB, change func(*Options), prepare func(*Server)) *host {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "brokerd-control-")
	if err != nil {
		t.Skipf("needs a tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &host{t: t, path: filepath.Join(dir, "control.sock"), served: make(chan error, 1), observed: map[string]int{}}
	h.state.Store(string(wire.DaemonReady))
	h.broker, err = broker.Open(broker.Options{
		Dir: filepath.Join(dir, "rings"), OwnerUID: uint32(os.Getuid()), Limits: broker.Limits{MemoryBytes: 16 << 20, Rings: 8, Attachments: 64},
	})
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Broker: h.broker, Log: zap.NewNop(), OwnerUID: uint32(os.Getuid()), AdminGID: -1,
		ConnectionsMax: 4096, Version: "test",
		State:   func() string { return h.state.Load().(string) },
		Reload:  func(context.Context) (wire.ReloadOut, error) { return wire.ReloadOut{}, nil },
		Observe: h.observe,
		Beat:    func() { h.beats.Add(1) },
	}
	if change != nil {
		change(&o)
	}
	h.server = New(o)
	if prepare != nil {
		prepare(h.server)
	}
	ln, err := unixconn.Listen(h.path, 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	watched := make(chan error, 1)
	go func() { watched <- h.broker.Run(ctx, func() {}) }()
	go func() { h.served <- h.server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := h.wait(); err != nil {
			t.Errorf("Serve: %v", err)
		}
		<-watched
		if err := h.broker.Close(); err != nil {
			t.Errorf("close the broker: %v", err)
		}
	})
	return h
}

// wait returns the result of Serve, as often as it is asked.
func (h *host) wait() error {
	select {
	case err := <-h.served:
		h.served <- err
		return err
	case <-time.After(2 * drainMax):
		h.t.Fatal("Serve did not return")
		return nil
	}
}

func (h *host) observe(method, result string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.observed[method+" "+result]++
}

func (h *host) seen(what string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.observed[what]
}

// ring makes a ring without going through the socket.
func (h *host) ring(spec wire.RingSpec) wire.Ring {
	h.t.Helper()
	if spec.Capacity == 0 {
		spec.Capacity = 64 << 10
	}
	ring, err := h.broker.CreateRing(spec, uint32(os.Getuid()))
	if err != nil {
		h.t.Fatal(err)
	}
	return ring
}

// caller is the client's end of a connection.
type caller struct {
	t testing.TB
	*unixconn.Conn
}

func (h *host) dial() *caller {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	conn, err := unixconn.Dial(ctx, h.path)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = conn.Close() })
	return &caller{h.t, conn}
}

// as is a connection whose client the server takes for somebody else. The
// process is this one.
func (h *host) as(uid, gid uint32, groups ...uint32) *caller {
	h.t.Helper()
	return h.asPeer(func(peer *unixconn.Peer) { peer.UID, peer.GID, peer.Groups = uid, gid, groups })
}

func (h *host) asPeer(change func(*unixconn.Peer)) *caller {
	h.t.Helper()
	ln, err := unixconn.Listen(filepath.Join(h.t.TempDir(), "s"), 0o600, -1)
	if err != nil {
		h.t.Fatal(err)
	}
	client, err := unixconn.Dial(context.Background(), ln.Path())
	if err != nil {
		h.t.Fatal(err)
	}
	conn, err := ln.Accept()
	if err = errors.Join(err, ln.Close()); err != nil {
		h.t.Fatal(err)
	}
	peer, err := conn.Peer()
	if err != nil {
		h.t.Fatal(err)
	}
	change(&peer)
	who := subjectOf(peer)
	seat, refusal := h.server.seats.take(who, h.server.access.trusted(who), func() { _ = conn.Close() })
	if refusal != nil {
		h.t.Fatal(refusal)
	}
	s := newSession(h.server, seat, conn, peer)
	ended := make(chan struct{})
	go func() { s.run(context.Background()); close(ended) }()
	h.t.Cleanup(func() { _ = client.Close(); <-ended })
	return &caller{h.t, client}
}

// send sends a call with any of oneway, more and upgrade.
func (c *caller) send(method string, in any, flags ...string) {
	c.t.Helper()
	call := map[string]any{"method": method}
	if in != nil {
		call["parameters"] = in
	}
	for _, f := range flags {
		call[f] = true
	}
	data, err := json.Marshal(call)
	if err != nil {
		c.t.Fatal(err)
	}
	c.raw(string(data) + "\x00")
}

// raw sends bytes as they are, which must be one message.
func (c *caller) raw(message string) {
	c.t.Helper()
	if err := c.WriteMessage([]byte(message), nil); err != nil {
		c.t.Fatal(err)
	}
}

// receive returns the next reply and what rode with it.
func (c *caller) receive() (wire.Reply, []*os.File) {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(waitMax)); err != nil {
		c.t.Fatal(err)
	}
	data, files, err := c.ReadMessage(unixconn.ReadOptions{BytesMax: wire.ReplyBytesMax, WantFiles: true})
	if err != nil {
		c.t.Fatalf("no reply: %v", err)
	}
	c.t.Cleanup(func() { unixconn.CloseFiles(files) })
	reply, err := wire.DecodeReply(data)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply, files
}

// call returns the error of the reply, and fills out otherwise.
func (c *caller) call(method string, in, out any) error {
	c.t.Helper()
	c.send(method, in)
	reply, _ := c.receive()
	return reply.Decode(out)
}

// must is call for what has to succeed.
func (c *caller) must(method string, in, out any) {
	c.t.Helper()
	if err := c.call(method, in, out); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
}

// ended waits until the server has closed the connection.
func (c *caller) ended() {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(waitMax))
	for {
		_, files, err := c.ReadMessage(unixconn.ReadOptions{BytesMax: wire.ReplyBytesMax, WantFiles: true})
		unixconn.CloseFiles(files)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.t.Fatal("the connection is still open")
		}
		if err != nil {
			return
		}
	}
}

// refused checks that err has the name and that its message has every text.
func refused(t testing.TB, err error, name wire.ErrorName, texts ...string) {
	t.Helper()
	if !errors.Is(err, name) {
		t.Fatalf("got error %v, want %s", err, name)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("message %q lacks %q", err, text)
		}
	}
}

// eventually polls until done says so.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(waitMax); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so after %v: %s", waitMax, what)
		}
	}
}

func openFiles(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func p[T any](v T) *T { return &v }

func attachIn(ring string, role wire.Role) wire.AttachIn {
	return wire.AttachIn{Ring: ring, Role: role}
}
