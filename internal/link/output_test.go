package link

import (
	"bytes"
	"runtime"
	"testing"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// TestOutputBytesMax: a socket that takes nothing has no more ring bytes waiting
// than that, and one frame.
func TestOutputBytesMax(t *testing.T) {
	const most, frame = 8192, 4096
	p := newPair(t, 0)
	p.acceptor.c.OutputBytesMax, p.acceptor.c.FrameBytesMax = most, frame
	source := newSource(t)
	p.flowing(source.Consumer, &memorySink{limit: 1 << 20})
	source.publish(t, 60, 1000)
	if err := p.acceptor.Pump(0); err != nil {
		t.Fatal(err)
	}
	if got := p.acceptor.out.bytes; got < most || got > most+frame+wire.LinkDataHeaderBytes {
		t.Errorf("%d bytes wait, want about %d", got, most)
	}
	for _, f := range p.acceptor.out.queue {
		if f.size() > frame+wire.LinkDataHeaderBytes {
			t.Errorf("a frame of %d bytes, want at most %d of the ring", f.size(), frame)
		}
	}
}

// TestLargeSpansStayInTheRing: they are sent from there, and not again once the
// reader had to give way.
func TestLargeSpansStayInTheRing(t *testing.T) {
	p := newPair(t, 0)
	source := newSource(t)
	p.flowing(source.Consumer, &memorySink{limit: 1 << 20})
	source.publish(t, 4, 2000)
	if err := p.acceptor.Pump(0); err != nil {
		t.Fatal(err)
	}
	f := &p.acceptor.out.queue[0]
	if !f.ring || len(f.body) == 0 {
		t.Fatalf("a span of %d bytes was copied", len(f.body)+len(f.head))
	}
	if !f.settle() || f.ring {
		t.Fatal("it cannot be copied while its reader holds it")
	}
}

// TestEndedWhileItIsSent: a frame that was begun is finished from a copy, for its
// ring may be unmapped at once; frames that were not begun are dropped.
func TestEndedWhileItIsSent(t *testing.T) {
	p := newPair(t, 0)
	source, sink := newSource(t), &memorySink{limit: 1 << 20}
	p.acceptor.c.FrameBytesMax = 4096
	stream := p.flowing(source.Consumer, sink)
	source.publish(t, 20, 2000)
	if err := p.acceptor.Pump(0); err != nil {
		t.Fatal(err)
	}
	begun := p.acceptor.Output()[0]
	first := append([]byte(nil), begun[:20]...)
	if err := p.acceptor.Sent(20); err != nil {
		t.Fatal(err)
	}
	p.acceptor.End(stream, wire.LinkEndFrame{Code: wire.CodeDetached})
	for _, f := range p.acceptor.out.queue {
		if f.ring {
			t.Fatal("the output still refers to the ring")
		}
	}
	if err := p.dialer.Input(0, append(first, collect(p.acceptor)...)); err != nil {
		t.Fatal(err)
	}
	if sink.at.Sequence != 2 {
		t.Errorf("%d records arrived, want the 2 of the frame that was begun", sink.at.Sequence)
	}
	p.expect(p.dialer, EventEnd)
}

// TestClosedWhileItIsSent: the same, with a Close instead.
func TestClosedWhileItIsSent(t *testing.T) {
	p := newPair(t, 0)
	source, sink := newSource(t), &memorySink{limit: 1 << 20}
	p.flowing(source.Consumer, sink)
	source.publish(t, 8, 2000)
	if err := p.acceptor.Pump(0); err != nil {
		t.Fatal(err)
	}
	first := append([]byte(nil), p.acceptor.Output()[0][:20]...)
	if err := p.acceptor.Sent(20); err != nil {
		t.Fatal(err)
	}
	p.acceptor.Close(wire.CodeGoodbye, "the daemon stops")
	if err := p.dialer.Input(0, append(first, collect(p.acceptor)...)); err != nil {
		t.Fatal(err)
	}
	if e := p.expect(p.dialer, EventClose); e.Close.Message != "the daemon stops" || sink.at.Sequence == 0 {
		t.Errorf("told is %+v after %d records", e.Close, sink.at.Sequence)
	}
}

// TestControlFramesShareSlices: small frames that follow each other are one slice.
func TestControlFramesShareSlices(t *testing.T) {
	var o output
	for n := range 3 {
		o.control(wire.LinkAckFrame{Stream: 1, Limit: uint64(n) * 16}.Append)
	}
	if list := o.slices(); len(list) != 1 || len(list[0]) != o.bytes {
		t.Errorf("three acks make %d slices", len(list))
	}
}

// TestOutputOfMany: more frames than slices come out in several rounds, whole and
// in order.
func TestOutputOfMany(t *testing.T) {
	c := New(Config{Name: "a"}, 0)
	var want []byte
	for n := range 3 * outputSlicesMax {
		b := bytes.Repeat([]byte{byte(n)}, n+1)
		c.out.push(outFrame{head: b})
		want = append(want, b...)
	}
	if n := len(c.Output()); n != outputSlicesMax {
		t.Fatalf("%d slices, want %d", n, outputSlicesMax)
	}
	if !bytes.Equal(collect(c), want) || c.out.bytes != 0 || c.out.controls != 0 {
		t.Errorf("what came out is not what went in, %d bytes are left", c.out.bytes)
	}
}

// TestIdleMemory: what an idle connection with a stream keeps, its reader and
// socket left aside.
func TestIdleMemory(t *testing.T) {
	const connections, bytesMax = 200, 2048
	measure := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	kept := make([]*Conn, 0, connections)
	source := newSource(t)
	before := measure()
	for range connections {
		p := newPair(t, 0)
		p.flowing(source.Consumer, &memorySink{limit: 4096})
		kept = append(kept, p.acceptor)
	}
	if each := (measure() - before) / connections; each > bytesMax {
		t.Errorf("an idle connection keeps %d bytes, want at most %d", each, bytesMax)
	}
	runtime.KeepAlive(kept)
}

// flow is a ring of some capacity, and the pair over which a mirror gets what its
// producer publishes.
func flow(capacity uint64) (w *world, p *pair, producer *shmring.Producer) {
	w = newWorld(1)
	config := shmring.Config{Capacity: capacity, RecordMax: 4096, Epoch: 5, Key: 1 << 63, ConsumersMax: 1}
	ring, err := shmring.CreatePrivate(config, shmring.Boundary{})
	w.must(err)
	source, _, err := newSlots(ring).lend(shmring.Binding{Policy: shmring.PolicyBlock}, shmring.ConsumerOptions{From: shmring.FromOldest(), Spans: true})
	w.must(err)
	config.Mirror = true
	copied, err := shmring.CreatePrivate(config, shmring.Boundary{})
	w.must(err)
	data, cursors, err := copied.LendProducer()
	w.must(err)
	mirror, err := shmring.OpenMirror(data, cursors, shmring.MirrorOptions{})
	w.must(err)
	p = newPair(new(testing.T), 0)
	p.flowing(source, mirror)
	return w, p, openProducer(w, ring, 0)
}

// BenchmarkFlow is what the state machines of both ends cost for a record of 64
// bytes, from ring to mirror, in frames as large as they get; there is no socket.
func BenchmarkFlow(b *testing.B) {
	w, p, producer := flow(16 << 20)
	payload := make([]byte, 64)
	b.SetBytes(80)
	for range b.N {
		for producer.TrySend(payload) == shmring.ErrFull {
			w.must(p.acceptor.Pump(0))
			for {
				list := p.acceptor.Output()
				if len(list) == 0 {
					break
				}
				n := 0
				for _, s := range list {
					w.must(land(p.dialer, s))
					n += len(s)
				}
				w.must(p.acceptor.Sent(n))
				w.must(p.acceptor.Input(0, collect(p.dialer)))
				w.must(p.acceptor.Pump(0))
			}
		}
	}
}

// land hands bytes over as the gateway does.
func land(c *Conn, p []byte) error {
	for len(p) > 0 {
		if direct := c.Direct(); direct != nil {
			n := copy(direct, p)
			p = p[n:]
			if err := c.Landed(0, n); err != nil {
				return err
			}
			continue
		}
		n := min(len(p), wire.LinkDataHeaderBytes+firstBytes)
		if err := c.Input(0, p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// BenchmarkOne is the same for one record at a time: what a hop costs in latency.
func BenchmarkOne(b *testing.B) {
	w, p, producer := flow(1 << 20)
	payload := make([]byte, 64)
	b.ReportAllocs()
	for range b.N {
		w.must(producer.TrySend(payload))
		w.must(p.acceptor.Pump(0))
		n := 0
		for _, s := range p.acceptor.Output() {
			w.must(p.dialer.Input(0, s))
			n += len(s)
		}
		w.must(p.acceptor.Sent(n))
		if len(p.dialer.Output()) > 0 {
			w.must(p.acceptor.Input(0, collect(p.dialer)))
		}
	}
}
