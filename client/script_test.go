package client

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

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

// feedOf attaches a producer to a ring without a daemon.
func feedOf(t *testing.T, mem *shmring.Ring) *shmring.Producer {
	t.Helper()
	err := mem.BindProducer(0, shmring.Binding{Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	data, cursors, err := mem.LendProducer()
	if err != nil {
		t.Fatal(err)
	}
	feed, err := shmring.OpenProducer(data, cursors, shmring.ProducerOptions{Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := feed.Close(); err != nil {
			t.Error(err)
		}
	})
	return feed
}
