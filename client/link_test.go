package client

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"brokerd/internal/config"
	"brokerd/internal/shmring"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

const testWait = 20 * time.Second

// script is a daemon that does what a test tells it to, step by step.
type script struct {
	t    *testing.T
	ln   *unixconn.Listener
	path string
}

func newScript(t *testing.T) *script {
	t.Helper()
	dir, err := os.MkdirTemp("", "brokerd-link-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &script{t: t, path: filepath.Join(dir, "s")}
	if s.ln, err = unixconn.Listen(s.path, 0o600, -1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.ln.Close() })
	return s
}

// dial connects a Client and returns it with the script's end.
func (s *script) dial() (*Client, *peer) {
	s.t.Helper()
	c, err := Dial(s.t.Context(), Options{Socket: s.path})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			s.t.Errorf("close: %v", err)
		}
	})
	return c, s.accept()
}

func (s *script) accept() *peer {
	s.t.Helper()
	conn, err := s.ln.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetReadDeadline(time.Now().Add(testWait)); err != nil {
		s.t.Fatal(err)
	}
	return &peer{s.t, conn}
}

// peer is the daemon's end of one connection.
type peer struct {
	t    *testing.T
	conn *unixconn.Conn
}

// next reads a call and checks its method.
func (p *peer) next(method string) wire.Call {
	p.t.Helper()
	data, _, err := p.conn.ReadMessage(unixconn.ReadOptions{BytesMax: wire.CallBytesMax})
	if err != nil {
		p.t.Fatalf("waiting for %s: %v", method, err)
	}
	call, err := wire.DecodeCall(data)
	if err != nil || call.Method != method {
		p.t.Fatalf("got %q, %v; want a call of %s", data, err, method)
	}
	return call
}

func (p *peer) reply(out any, files ...*os.File) {
	p.t.Helper()
	parameters, err := wire.EncodeParameters(out)
	if err != nil {
		p.t.Fatal(err)
	}
	p.send(wire.Reply{Parameters: parameters}, files...)
}

func (p *peer) send(r wire.Reply, files ...*os.File) {
	p.t.Helper()
	frame, err := wire.EncodeReply(r)
	if err == nil {
		err = p.conn.WriteMessage(frame, files)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	unixconn.CloseFiles(files)
}

// closed waits until the client closes the connection.
func (p *peer) closed() {
	p.t.Helper()
	if _, _, err := p.conn.ReadMessage(unixconn.ReadOptions{BytesMax: wire.CallBytesMax}); !errors.Is(err, io.EOF) {
		p.t.Fatalf("got %v, want the end of the connection", err)
	}
}

// background runs a call and gives its error.
func background(call func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- call() }()
	return done
}

func rings(ctx context.Context, c *Client) func() error {
	return func() error {
		_, err := c.Rings(ctx)
		return err
	}
}

func TestDaemonThatDoesNotAnswer(t *testing.T) {
	c, p := newScript(t).dial()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := c.RemoveRing(ctx, "md", false)
	if !errors.Is(err, ErrUnreachable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "RemoveRing") {
		t.Errorf("got %v", err)
	}
	// Its answer comes late and must not be taken for that of the next call.
	p.next(wire.MethodRemoveRing)
	done := background(rings(t.Context(), c))
	p.send(wire.RingNotFound("md", "there is no ring md").Reply())
	p.next(wire.MethodListRings)
	p.reply(wire.ListRingsOut{})
	if err := <-done; err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// TestLateAttach grants an attachment to a caller who has given up.
func TestLateAttach(t *testing.T) {
	c, p := newScript(t).dial()
	ctx, cancel := context.WithCancel(t.Context())
	done := background(func() error {
		_, err := c.Consumer(ctx, "md", ConsumerOptions{})
		return err
	})
	p.next(wire.MethodAttach)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	p.reply(wire.AttachOut{Attachment: wire.Attachment{ID: "md/c0.1"}})
	call := p.next(wire.MethodDetach)
	if !call.Oneway || !strings.Contains(string(call.Parameters), "md/c0.1") {
		t.Errorf("got %+v, want a oneway Detach of md/c0.1", call)
	}
}

func TestQueriesAreAskedAgain(t *testing.T) {
	s := newScript(t)
	c, p := s.dial()
	done := background(rings(t.Context(), c))
	p.next(wire.MethodListRings)
	_ = p.conn.Close()
	p = s.accept()
	p.next(wire.MethodListRings)
	p.reply(wire.ListRingsOut{})
	if err := <-done; err != nil {
		t.Errorf("a query: %v", err)
	}
	done = background(func() error { return c.RemoveRing(t.Context(), "md", false) })
	p.next(wire.MethodRemoveRing)
	_ = p.conn.Close()
	if err := <-done; !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "may or may not") {
		t.Errorf("a call that changes something: got %v", err)
	}
	s.accept()
}

func TestBadReplies(t *testing.T) {
	s := newScript(t)
	c, p := s.dial()
	for _, tc := range []struct{ name, bytes, says string }{
		{"not asked for", "{}\x00", "nobody asked"},
		{"turned away", `{"error":"io.brokerd.Broker.LimitExceeded","parameters":{"message":"4096 connections are open"}}` + "\x00", "4096 connections"},
		{"malformed", "{]\x00", "malformed"},
	} {
		l, err := c.connected(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.conn.WriteMessage([]byte(tc.bytes), nil); err != nil {
			t.Fatal(err)
		}
		p.closed()
		if why := l.why(); !errors.Is(why, errBroken) || !strings.Contains(why.Error(), tc.says) {
			t.Errorf("%s: got %v, want %q", tc.name, why, tc.says)
		}
		p = s.accept()
		done := background(rings(t.Context(), c))
		p.next(wire.MethodListRings)
		p.reply(wire.ListRingsOut{})
		if err := <-done; err != nil {
			t.Errorf("after %s: %v", tc.name, err)
		}
	}
	done := background(rings(t.Context(), c))
	p.next(wire.MethodListRings)
	p.send(wire.Reply{Parameters: []byte(`{"rings": 7}`)})
	if err := <-done; !errors.Is(err, wire.ErrMalformedReply) {
		t.Errorf("a reply of a wrong type: got %v", err)
	}
}

// lender makes a ring whose memory the script lends itself.
func lender(t *testing.T) *shmring.Ring {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "brokerd-link-")
	if err != nil {
		t.Skipf("needs a tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r, err := shmring.Create(dir, shmring.Config{Capacity: 64 << 10, RecordMax: 1 << 10, Epoch: 5, ConsumersMax: 4, Timestamps: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// grant lends slot 1 with a generation.
func grant(t *testing.T, r *shmring.Ring, generation uint32) (wire.AttachOut, []*os.File) {
	t.Helper()
	if err := r.BindConsumer(1, shmring.Binding{Generation: generation, Policy: shmring.PolicySkip}); err != nil {
		t.Fatal(err)
	}
	data, cursor, err := r.LendConsumer(1)
	if err != nil {
		t.Fatal(err)
	}
	return wire.AttachOut{
		Attachment: wire.Attachment{ID: "md/c1." + string(rune('0'+generation)), Ring: "md", Epoch: 5, Slot: 1, Generation: generation, Policy: wire.PolicySkip},
		Ring:       wire.Ring{Name: "md", Epoch: 5},
		Files:      wire.Files{Data: 1, Cursors: []int{0}},
	}, []*os.File{cursor, data}
}

// TestRegistersAgain breaks the connection of an attachment and meets first a
// daemon that is not ready, then one that gives the slot, then one that gives
// another generation of it.
func TestRegistersAgain(t *testing.T) {
	r := lender(t)
	s := newScript(t)
	c, p := s.dial()
	out, files := grant(t, r, 3)
	var consumer *Consumer
	done := background(func() (err error) {
		consumer, err = c.Consumer(t.Context(), "md", ConsumerOptions{Name: "book"})
		return err
	})
	var first, again wire.AttachIn
	if err := wire.DecodeParameters(p.next(wire.MethodAttach).Parameters, &first); err != nil {
		t.Fatal(err)
	}
	if !wire.ValidLabel(first.Token) || first.Epoch != nil {
		t.Errorf("asked with token %q, epoch %v", first.Token, first.Epoch)
	}
	p.reply(out, files...)
	if err := <-done; err != nil {
		t.Fatal(err)
	}

	_ = p.conn.Close()
	p = s.accept()
	p.next(wire.MethodAttach)
	p.send(wire.NotReady(wire.DaemonStarting, "brokerd is starting").Reply())
	if err := wire.DecodeParameters(p.next(wire.MethodAttach).Parameters, &again); err != nil {
		t.Fatal(err)
	}
	if again.Token != first.Token || again.Name != "book" || again.Epoch == nil || *again.Epoch != 5 {
		t.Errorf("asked again with %+v", again)
	}
	p.reply(out)
	done = background(rings(t.Context(), c))
	p.next(wire.MethodListRings)
	p.reply(wire.ListRingsOut{})
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.TryReceive(); err != ErrEmpty {
		t.Errorf("after it is registered again: got %v", err)
	}

	_ = p.conn.Close()
	p = s.accept()
	p.next(wire.MethodAttach)
	out.Attachment.Generation, out.Attachment.ID = 4, "md/c1.4"
	p.reply(out)
	if call := p.next(wire.MethodDetach); !strings.Contains(string(call.Parameters), "md/c1.4") {
		t.Errorf("got %s, want the new slot given back", call.Parameters)
	}
	p.reply(wire.DetachOut{})
	if _, err := consumer.Receive(t.Context()); !errors.Is(err, ErrLost) {
		t.Errorf("receive with a slot that was given away: got %v", err)
	}
	if err := consumer.Close(); !errors.Is(err, ErrLost) {
		t.Errorf("close: got %v", err)
	}
}

// TestGrantsThatMakeNoSense must not be mapped, and are given back.
func TestGrantsThatMakeNoSense(t *testing.T) {
	r := lender(t)
	for name, change := range map[string]func(*wire.AttachOut){
		"no data file":            func(o *wire.AttachOut) { o.Files.Data = 2 },
		"negative index":          func(o *wire.AttachOut) { o.Files.Data = -1 },
		"one file for two uses":   func(o *wire.AttachOut) { o.Files.Data = 0 },
		"no cursor":               func(o *wire.AttachOut) { o.Files.Cursors = nil },
		"cursor that is not data": func(o *wire.AttachOut) { o.Files = wire.Files{Data: 0, Cursors: []int{1}} },
		"slot out of range":       func(o *wire.AttachOut) { o.Attachment.Slot = 64 },
		"unknown policy":          func(o *wire.AttachOut) { o.Attachment.Policy = "keep" },
	} {
		t.Run(name, func(t *testing.T) {
			c, p := newScript(t).dial()
			done := background(func() error {
				_, err := c.Consumer(t.Context(), "md", ConsumerOptions{})
				return err
			})
			p.next(wire.MethodAttach)
			out, files := grant(t, r, 3)
			change(&out)
			p.reply(out, files...)
			p.next(wire.MethodDetach)
			p.reply(wire.DetachOut{})
			if err := <-done; err == nil {
				t.Error("it was accepted")
			}
		})
	}
}

func TestPick(t *testing.T) {
	open := func() (files []*os.File) {
		for range 3 {
			f, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		return files
	}
	files := open()
	got, err := pick(wire.Files{Data: 2, Cursors: []int{0}}, files)
	if err != nil || got.data != files[2] || !slices.Equal(got.cursors, files[:1]) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if err := files[1].Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file that nobody asked for is open: %v", err)
	}
	unixconn.CloseFiles(files)
	files = open()
	if _, err := pick(wire.Files{Data: 2, Cursors: []int{0, 3}}, files); !errors.Is(err, ErrProtocol) {
		t.Errorf("an index too large: got %v", err)
	}
	for i, f := range files {
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("file %d is open after the error: %v", i, err)
		}
	}
}

func TestDefaultSocket(t *testing.T) {
	for _, uid := range []int{0, 1000} {
		for _, xdg := range []string{"", "/run/user/1000", "relative"} {
			if got, want := defaultSocket(uid, xdg), config.ResolvePaths(uid, xdg).Socket; got != want {
				t.Errorf("uid %d, XDG_RUNTIME_DIR=%q: got %s, the daemon has %s", uid, xdg, got, want)
			}
		}
	}
}

func TestCheckOwner(t *testing.T) {
	for _, tc := range []struct {
		daemon, uid int
		fine        bool
	}{{0, 1000, true}, {1000, 1000, true}, {1001, 1000, false}} {
		if err := checkOwner(tc.daemon, tc.uid); (err == nil) != tc.fine {
			t.Errorf("daemon of uid %d, caller %d: got %v", tc.daemon, tc.uid, err)
		}
	}
}

func TestAdvice(t *testing.T) {
	s := newScript(t)
	if err := s.ln.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Dial(t.Context(), Options{Socket: s.path})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), s.path) || !strings.Contains(err.Error(), "start brokerd") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dial(ctx, Options{Socket: s.path, WaitFor: testWait}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("cancelled: got %v", err)
	}
	_, err = Dial(t.Context(), Options{Socket: "/" + strings.Repeat("x", 107)})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "108 bytes") {
		t.Errorf("path too long: got %v", err)
	}
}
