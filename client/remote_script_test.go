package client

import (
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	protocol "brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// gate is a gateway that does what a test says.
type gate struct {
	t    *testing.T
	ln   net.Listener
	all  sync.WaitGroup
	mu   sync.Mutex
	open map[net.Conn]struct{}
	dead bool

	// greet answers a hello; nil is a welcome.
	greet func(c *gateConn)
	// react deals with everything else.
	react func(c *gateConn, e protocol.Event)
}

// gateConn is one connection of a gate.
type gateConn struct {
	*protocol.Conn
	number int // 0 for the first one
	start  time.Time
	poll   func() // called now and then, where it is set
}

func (c *gateConn) now() int64 { return int64(time.Since(c.start)) }

func newGate(t *testing.T, react func(c *gateConn, e protocol.Event)) *gate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, ln: ln, open: map[net.Conn]struct{}{}, react: react}
	g.all.Go(func() {
		for n := 0; ; n++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			g.mu.Lock()
			g.open[conn] = struct{}{}
			dead := g.dead
			g.mu.Unlock()
			if dead {
				_ = conn.Close()
			}
			g.all.Go(func() { g.serve(conn, n) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		g.mu.Lock()
		g.dead = true
		g.mu.Unlock()
		g.cut()
		g.all.Wait()
	})
	return g
}

// cut breaks all connections.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		_ = c.Close()
	}
}

func (g *gate) serve(conn net.Conn, number int) {
	defer func() {
		_ = conn.Close()
		g.mu.Lock()
		delete(g.open, conn)
		g.mu.Unlock()
	}()
	c := &gateConn{protocol.New(protocol.Config{Name: "gate", Agent: "test"}, 0), number, time.Now(), nil}
	buf := make([]byte, 64<<10)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond)) // a closed one fails below
		n, err := conn.Read(buf)
		wrong := c.Input(c.now(), buf[:n])
		for e, ok := c.Next(); ok; e, ok = c.Next() {
			switch {
			case e.Kind != protocol.EventHello:
				g.mu.Lock()
				g.react(c, e)
				g.mu.Unlock()
			default:
				g.mu.Lock()
				if g.greet != nil {
					g.greet(c)
				} else {
					c.Welcome(c.now())
				}
				g.mu.Unlock()
			}
		}
		if g.mu.Lock(); c.poll != nil {
			c.poll()
		}
		g.mu.Unlock()
		_ = c.Pump(c.now()) // what is wrong shows in the output
		_, _ = c.Tick(c.now())
		for out := c.Output(); len(out) > 0; out = c.Output() {
			sent, err := conn.Write(out[0])
			if err != nil {
				return
			}
			_ = c.Sent(sent)
		}
		if wrong != nil || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// dial connects to the gate; the test closes.
func (g *gate) dial(o TCPOptions) *Remote {
	g.t.Helper()
	o.Address, o.Plain = g.ln.Addr().String(), true
	r, err := DialTCP(g.t.Context(), o)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = r.Close() }) // what is lost is what the tests are about
	return r
}

const (
	gateKey   = 0xA1B2C3D4E5F60718
	gateEpoch = 7
)

func gateOpened() wire.LinkOpenedFrame {
	return wire.LinkOpenedFrame{RecordMax: 1024, Capacity: 64 << 10, Key: gateKey, Epoch: gateEpoch, ID: "md/p0.1"}
}

// takeThenEnd takes a producer's stream, and ends it once there was a record.
func (c *gateConn) takeThenEnd(e protocol.Event, end wire.LinkEndFrame) {
	sink := &bin{keep: true}
	_ = c.Take(e.Stream, gateOpened(), sink)
	c.poll = func() {
		if sink.end.Sequence > 0 {
			c.End(e.Stream, end)
			c.poll = nil
		}
	}
}

// keepAll takes every stream, and keeps what it acknowledges.
func keepAll(c *gateConn, e protocol.Event) {
	if e.Kind == protocol.EventOpen {
		_ = c.Take(e.Stream, gateOpened(), &bin{keep: true})
	}
}

// bin is a sink that keeps what it acknowledges to itself, or does not.
type bin struct {
	end, kept shmring.Boundary
	keep      bool
	buf       []byte
}

func (b *bin) Place(_ uint64, n int) ([]byte, error) {
	b.buf = make([]byte, n)
	return b.buf[16:], nil
}

func (b *bin) Commit(c shmring.Chunk) error {
	b.end = shmring.Boundary{Position: c.Position + uint64(c.Bytes), Sequence: c.Sequence + c.Records}
	if b.keep {
		b.kept = b.end
	}
	return nil
}

func (b *bin) Jump(uint64, uint64) error { return errors.New("a producer has no gaps") }

func (b *bin) Progress() (shmring.Boundary, uint64, error) {
	return b.kept, b.kept.Position + 32<<10, nil
}

// spring is a ring that a gate lends, and its producer.
type spring struct {
	ring *shmring.Ring
	p    *shmring.Producer
}

func newSpring(t *testing.T) *spring {
	t.Helper()
	s := &spring{}
	var err error
	s.ring, err = shmring.CreatePrivate(shmring.Config{Capacity: 64 << 10, RecordMax: 1024, Epoch: gateEpoch, Key: gateKey, ConsumersMax: 8}, shmring.Boundary{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ring.BindProducer(0, shmring.Binding{Generation: 1}); err != nil {
		t.Fatal(err)
	}
	data, cursors, err := s.ring.LendProducer()
	if err != nil {
		t.Fatal(err)
	}
	if s.p, err = shmring.OpenProducer(data, cursors, shmring.ProducerOptions{Generation: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.p.Close(), s.ring.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// source is a reader for a stream, in a slot of its own.
func (s *spring) source(t *testing.T, slot int, policy shmring.Policy, from shmring.Start) *shmring.Consumer {
	if err := s.ring.BindConsumer(slot, shmring.Binding{Generation: uint32(slot + 1), Policy: policy, Parks: true}); err != nil {
		t.Error(err)
	}
	data, cursor, err := s.ring.LendConsumer(slot)
	if err != nil {
		t.Error(err)
	}
	c, err := shmring.OpenConsumer(data, cursor, shmring.ConsumerOptions{Slot: slot, Generation: uint32(slot + 1), Policy: policy, From: from, Spans: true})
	if err != nil {
		t.Error(err)
	}
	return c
}
