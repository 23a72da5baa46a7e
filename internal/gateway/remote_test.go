package gateway

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// remote is a remote client: a link over a socket, worked by the test itself.
type remote struct {
	t     testing.TB
	conn  net.Conn
	link  *link.Conn
	start time.Time
	queue []link.Event
	over  error
	// damage has one bit of the next long write flipped.
	damage bool
}

func dialRemote(t testing.TB, address, name string, session byte, config *tls.Config) *remote {
	t.Helper()
	r := &remote{t: t, conn: connect(t, address, config), start: time.Now()}
	r.link = link.New(link.Config{Dialer: true, Name: name, Agent: "test", Session: [16]byte{session}}, 0)
	return r
}

func (r *remote) now() int64 { return int64(time.Since(r.start)) }

// step sends what there is and receives what there is.
func (r *remote) step() {
	if r.over != nil {
		return
	}
	fail := func(err error) {
		if r.over == nil {
			r.over = err
		}
	}
	if err := r.link.Pump(r.now()); err != nil {
		fail(err)
	}
	for out := r.link.Output(); len(out) > 0; out = r.link.Output() {
		_ = r.conn.SetWriteDeadline(time.Now().Add(patience))
		first := out[0]
		if r.damage && len(first) > wire.LinkDataHeaderBytes {
			first = slices.Clone(first)
			first[len(first)-1] ^= 1
			r.damage = false
		}
		n, err := r.conn.Write(first)
		if e := errors.Join(err, r.link.Sent(n)); e != nil {
			fail(e)
			break
		}
	}
	buf := make([]byte, 64<<10)
	_ = r.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	n, err := r.conn.Read(buf)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		fail(err)
	}
	if err := r.link.Input(r.now(), buf[:n]); err != nil {
		fail(err)
	}
	if _, err := r.link.Tick(r.now()); err != nil {
		fail(err)
	}
	for e, ok := r.link.Next(); ok; e, ok = r.link.Next() {
		r.queue = append(r.queue, e)
	}
}

// await returns the next event, which is to be of that kind.
func (r *remote) await(kind link.EventKind) link.Event {
	r.t.Helper()
	for deadline := time.Now().Add(patience); len(r.queue) == 0; r.step() {
		if r.over != nil || time.Now().After(deadline) {
			r.t.Fatalf("no event of kind %d: %v", kind, r.over)
		}
	}
	e := r.queue[0]
	r.queue = r.queue[1:]
	if e.Kind != kind {
		r.t.Fatalf("event of kind %d, want %d: %+v", e.Kind, kind, e)
	}
	return e
}

func (r *remote) open(o wire.LinkOpenFrame) uint16 {
	r.t.Helper()
	stream, err := r.link.Open(o)
	if err != nil {
		r.t.Fatal(err)
	}
	return stream
}

// refusedOpen is how the other side refuses a stream.
func (r *remote) refusedOpen(o wire.LinkOpenFrame) wire.LinkEndFrame {
	r.t.Helper()
	r.open(o)
	return r.await(link.EventEnd).End
}

// private is the private ring of a remote client.
type private struct {
	t      testing.TB
	ring   *shmring.Ring
	mirror *shmring.Mirror   // of one that reads
	reader *shmring.Consumer // of one that reads
	writer *shmring.Producer // of one that produces
	source *shmring.Consumer
}

func newPrivate(t testing.TB, c shmring.Config, start shmring.Boundary) *private {
	t.Helper()
	c.ConsumersMax = 1
	ring, err := shmring.CreatePrivate(c, start)
	if err != nil {
		t.Fatal(err)
	}
	p := &private{t: t, ring: ring}
	t.Cleanup(func() {
		for _, c := range []interface{ Close() error }{p.ring, p.mirror, p.reader, p.writer, p.source} {
			if c != nil && !isNil(c) {
				_ = c.Close()
			}
		}
	})
	return p
}

func isNil(c any) bool {
	switch v := c.(type) {
	case *shmring.Mirror:
		return v == nil
	case *shmring.Consumer:
		return v == nil
	case *shmring.Producer:
		return v == nil
	}
	return false
}

func (p *private) consumer(o shmring.ConsumerOptions) *shmring.Consumer {
	p.t.Helper()
	if err := p.ring.BindConsumer(0, shmring.Binding{Generation: 1, Policy: shmring.PolicyBlock, Parks: true}); err != nil {
		p.t.Fatal(err)
	}
	data, cursor, err := p.ring.LendConsumer(0)
	if err != nil {
		p.t.Fatal(err)
	}
	o.Generation, o.Policy = 1, shmring.PolicyBlock
	c, err := shmring.OpenConsumer(data, cursor, o)
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// outbound is the private ring of a producer whose stream was opened.
func outbound(t testing.TB, o wire.LinkOpenedFrame, capacity uint64) *private {
	t.Helper()
	p := newPrivate(t, shmring.Config{Capacity: capacity, RecordMax: o.RecordMax, Epoch: o.Epoch, Key: o.Key},
		shmring.Boundary{Position: o.Position, Sequence: o.Sequence})
	if err := p.ring.BindProducer(0, shmring.Binding{Generation: 1}); err != nil {
		t.Fatal(err)
	}
	data, cursors, err := p.ring.LendProducer()
	if err != nil {
		t.Fatal(err)
	}
	if p.writer, err = shmring.OpenProducer(data, cursors, shmring.ProducerOptions{Generation: 1, OnFull: shmring.OnFullFail}); err != nil {
		t.Fatal(err)
	}
	p.source = p.consumer(shmring.ConsumerOptions{Spans: true, From: shmring.FromOldest()})
	return p
}

// inbound is the private ring of a reader whose stream was opened.
func inbound(t testing.TB, o wire.LinkOpenedFrame) *private {
	t.Helper()
	p := newPrivate(t, shmring.Config{
		Capacity: o.Capacity, RecordMax: o.RecordMax, Epoch: o.Epoch, Key: o.Key,
		Many: o.Many, Timestamps: o.Timestamps, Checksum: o.Checksum, Mirror: true,
	}, shmring.Boundary{Position: o.Position, Sequence: o.Sequence})
	data, cursors, err := p.ring.LendProducer()
	if err != nil {
		t.Fatal(err)
	}
	if p.mirror, err = shmring.OpenMirror(data, cursors, shmring.MirrorOptions{Missed: true, KeptByReaders: true}); err != nil {
		t.Fatal(err)
	}
	p.reader = p.consumer(shmring.ConsumerOptions{From: shmring.FromPosition(o.Position), KeepCursor: true})
	return p
}

// listenRaw makes the test another host: an origin (acceptRemote), or the other side
// of a feed.
func listenRaw(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func acceptRemote(t testing.TB, ln net.Listener, name string) *remote {
	t.Helper()
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &remote{t: t, conn: c, start: time.Now(), link: link.New(link.Config{Name: name, Agent: "test"}, 0)}
}
