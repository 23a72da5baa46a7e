package link

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// source is a ring with a producer and a reader of spans.
type source struct {
	*shmring.Consumer
	ring     *shmring.Ring
	producer *shmring.Producer
}

func newSource(t *testing.T) *source {
	t.Helper()
	w := newWorld(1)
	ring, err := shmring.CreatePrivate(shmring.Config{Capacity: 1 << 16, RecordMax: 8000, Epoch: 5, Key: 1 << 63, ConsumersMax: 2}, shmring.Boundary{})
	if err != nil {
		t.Fatal(err)
	}
	s := &source{ring: ring, producer: openProducer(w, ring, 0)}
	s.Consumer, _, err = newSlots(ring).lend(shmring.Binding{Policy: shmring.PolicyBlock}, shmring.ConsumerOptions{From: shmring.FromOldest(), Spans: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.producer.Close(), s.Close(), s.ring.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *source) publish(t *testing.T, n, bytes int) {
	t.Helper()
	for range n {
		if err := s.producer.TrySend(make([]byte, bytes)); err != nil {
			t.Fatal(err)
		}
	}
}

// flowing opens a stream from source to sink.
func (p *pair) flowing(source *shmring.Consumer, sink Sink) (stream uint16) {
	p.t.Helper()
	stream, err := p.dialer.Open(wire.LinkOpenFrame{Mode: wire.LinkMirror, Ring: "feed"})
	if err != nil {
		p.t.Fatal(err)
	}
	p.exchange()
	p.expect(p.acceptor, EventOpen)
	if err := p.acceptor.Serve(stream, wire.LinkOpenedFrame{RecordMax: 8000, Capacity: 1 << 16, Key: 1 << 63}, source); err != nil {
		p.t.Fatal(err)
	}
	p.exchange()
	p.expect(p.dialer, EventOpened)
	if err := p.dialer.Receive(stream, sink); err != nil {
		p.t.Fatal(err)
	}
	p.exchange()
	return stream
}

func (p *pair) pump() {
	p.t.Helper()
	if err := p.acceptor.Pump(p.now); err != nil {
		p.t.Fatal(err)
	}
	p.exchange()
}

func TestStreamFlows(t *testing.T) {
	p := newPair(t, 0)
	source, sink := newSource(t), &memorySink{limit: 20000}
	stream := p.flowing(source.Consumer, sink)
	source.publish(t, 20, 100)
	p.pump()
	if want := source.EndBoundary(); sink.at != want || want.Sequence != 20 {
		t.Fatalf("arrived is %+v, sent %+v", sink.at, want)
	}
	status := p.acceptor.Streams()
	if len(status) != 1 || status[0].Sent != sink.at || !status[0].Dry || !status[0].Sends || status[0].Bytes != sink.at.Position {
		t.Errorf("the sender's status is %+v", status)
	}
	// The ack is due after a while.
	p.now += int64(ackDelay)
	if _, err := p.dialer.Tick(p.now); err != nil {
		t.Fatal(err)
	}
	p.exchange()
	if got := p.acceptor.Streams()[0].Acked; got != sink.at {
		t.Errorf("acknowledged is %+v, want %+v", got, sink.at)
	}
	// The limit holds.
	source.publish(t, 40, 1000)
	p.pump()
	if sink.at.Position > sink.limit || sink.limit-sink.at.Position > 2000 {
		t.Errorf("the limit is %d, sent was up to %d", sink.limit, sink.at.Position)
	}
	// Credit that grows is found soon, and not by a message of the sink.
	sink.limit = 1 << 16
	for range 20 {
		p.now += int64(time.Millisecond)
		if _, err := p.dialer.Tick(p.now); err != nil {
			t.Fatal(err)
		}
		p.exchange()
		p.pump()
	}
	if want := source.EndBoundary(); sink.at != want || want.Sequence != 60 {
		t.Errorf("with more credit arrived is %+v, sent %+v", sink.at, want)
	}
	p.acceptor.End(stream, wire.LinkEndFrame{Code: wire.CodeRemoved, Message: "gone"})
	p.exchange()
	if e := p.expect(p.dialer, EventEnd); e.End.Code != wire.CodeRemoved || e.Err != nil {
		t.Errorf("the end is told as %+v", e)
	}
	p.quiet(p.acceptor)
	if n := len(p.acceptor.streams) + len(p.dialer.streams); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}

func TestStreamNumbers(t *testing.T) {
	p := newPair(t, 0)
	for want := uint16(1); want <= 3; want++ {
		if stream, err := p.dialer.Open(wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "x"}); stream != want || err != nil {
			t.Fatalf("stream %d (%v), want %d", stream, err, want)
		}
	}
	if _, err := p.dialer.Open(wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "x"}); !errors.Is(err, ErrStreams) {
		t.Fatalf("the fourth of three: %v", err)
	}
	p.dialer.End(2, wire.LinkEndFrame{})
	if _, err := p.dialer.Open(wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "x"}); !errors.Is(err, ErrStreams) {
		t.Fatalf("before the end is confirmed: %v", err)
	}
	p.exchange()
	if stream, err := p.dialer.Open(wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: "x"}); stream != 2 || err != nil {
		t.Fatalf("after the end is confirmed: stream %d, %v", stream, err)
	}
	p.exchange()
	if err := p.acceptor.Serve(9, wire.LinkOpenedFrame{}, nil); !errors.Is(err, ErrStream) {
		t.Errorf("serve of a stream that is none: %v", err)
	}
	if err := p.acceptor.Take(1, wire.LinkOpenedFrame{}, nil); !errors.Is(err, ErrStream) {
		t.Errorf("take of a stream that reads: %v", err)
	}
	p.refused(p.acceptor, wire.LinkOpenFrame{Stream: 9, Mode: wire.LinkRead, Ring: "x"}.Append(nil), wire.CodeBusy, "more than 3 streams")
}

func TestAcceptorRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		frame   []byte
		code    wire.LinkCode
		message string
	}{
		"an open twice":          {wire.LinkOpenFrame{Stream: 1, Mode: wire.LinkRead, Ring: "x"}.Append(nil), wire.CodeProtocol, "in use"},
		"opened":                 {wire.LinkOpenedFrame{Stream: 1, Epoch: 1}.Append(nil), wire.CodeProtocol, "not asked for"},
		"an end of nothing":      {wire.LinkEndFrame{Stream: 8}.Append(nil), wire.CodeProtocol, "not open"},
		"an ack of nothing":      {wire.LinkAckFrame{Stream: 8}.Append(nil), wire.CodeProtocol, "does not send"},
		"an ack of what was not": {wire.LinkAckFrame{Stream: 1, Position: 1 << 20, Limit: 1 << 20}.Append(nil), wire.CodePosition, "ack of stream 1"},
		"an ack of less":         {wire.LinkAckFrame{Stream: 1, Position: 16, Limit: 1 << 20}.Append(nil), wire.CodePosition, "ack of stream 1"},
		"an ack of too many":     {wire.LinkAckFrame{Stream: 1, Position: 1280, Sequence: 999, Limit: 1 << 20}.Append(nil), wire.CodePosition, "ack of stream 1"},
		"data":                   {data(1, 5, 0, 0, 0, 16), wire.CodeProtocol, "does not receive"},
		"a gap":                  {wire.LinkGapFrame{Stream: 1, Epoch: 5, To: 64}.Append(nil), wire.CodeProtocol, "does not receive"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 0)
			source, sink := newSource(t), &memorySink{limit: 20000}
			p.flowing(source.Consumer, sink)
			source.publish(t, 10, 100)
			p.pump()
			p.now += int64(ackDelay)
			_, _ = p.dialer.Tick(p.now)
			p.exchange()
			if want := (shmring.Boundary{Position: 1280, Sequence: 10}); p.acceptor.Streams()[0].Acked != want {
				t.Fatalf("acknowledged is %+v, want %+v", p.acceptor.Streams()[0].Acked, want)
			}
			p.refused(p.acceptor, test.frame, test.code, test.message)
		})
	}
}

func TestReceiverRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		frame   []byte
		code    wire.LinkCode
		message string
	}{
		"another stream":        {data(7, 5, 0, 0, 1, 32), wire.CodeProtocol, "stream 7"},
		"another epoch":         {data(1, 6, 0, 0, 1, 32), wire.CodePosition, "epoch 6"},
		"a later position":      {data(1, 5, 16, 0, 1, 32), wire.CodePosition, "due was position 0"},
		"a later record":        {data(1, 5, 0, 1, 1, 32), wire.CodePosition, "due was position 0, record 0"},
		"more than granted":     {data(1, 5, 0, 0, 1, 1040), wire.CodeProtocol, "beyond the limit of 1024"},
		"a damaged frame":       {flip(data(1, 5, 0, 0, 1, 32), 60), wire.CodeChecksum, "checksum"},
		"a damaged end":         {flip(data(1, 5, 0, 0, 1, 320), 340), wire.CodeChecksum, "checksum"},
		"a gap elsewhere":       {wire.LinkGapFrame{Stream: 1, Epoch: 5, Position: 16, To: 64}.Append(nil), wire.CodePosition, "due was"},
		"a gap of too many":     {wire.LinkGapFrame{Stream: 1, Epoch: 5, To: 64, Lost: 5}.Append(nil), wire.CodePosition, "cannot have lost 5"},
		"a hello":               {helloOf(func(*wire.LinkHelloFrame) {}), wire.CodeProtocol, "hello"},
		"an open":               {wire.LinkOpenFrame{Stream: 2, Mode: wire.LinkRead, Ring: "x"}.Append(nil), wire.CodeProtocol, "comes from the one who dialled"},
		"an ack":                {wire.LinkAckFrame{Stream: 1}.Append(nil), wire.CodeProtocol, "does not send"},
		"an opened out of turn": {wire.LinkOpenedFrame{Stream: 1, Epoch: 5}.Append(nil), wire.CodeProtocol, "not asked for"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, 0)
			sink := &memorySink{limit: 1024}
			p.receiving(sink)
			p.refused(p.dialer, test.frame, test.code, test.message)
			if len(sink.data) > 0 {
				t.Error("something of it was committed")
			}
		})
	}
}

// TestAtTheLimit: the last byte that was granted may be sent.
func TestAtTheLimit(t *testing.T) {
	p := newPair(t, 0)
	sink := &memorySink{limit: 1024}
	p.receiving(sink)
	p.give(data(1, 5, 0, 0, 1, 1024))
	if len(sink.data) != 1024 {
		t.Errorf("%d bytes were committed", len(sink.data))
	}
	sink = &memorySink{limit: gapCreditBytes}
	p.dialer.End(1, wire.LinkEndFrame{})
	p.give(wire.LinkEndFrame{Stream: 1}.Append(nil))
	p.receiving(sink)
	p.give(wire.LinkGapFrame{Stream: 1, Epoch: 5, To: 160, Lost: 10}.Append(nil))
	if e := p.expect(p.dialer, EventGap); e.Gap.Lost != 10 || sink.at != (shmring.Boundary{Position: 160, Sequence: 10}) {
		t.Errorf("gap %+v, the sink is at %+v", e.Gap, sink.at)
	}
}

// TestBadRecordsEndTheirStream, and nothing else.
func TestBadRecordsEndTheirStream(t *testing.T) {
	p := newPair(t, 0)
	sink := &memorySink{limit: 1024, refuse: fmt.Errorf("sink: %w", &shmring.ChunkError{Position: 0, Reason: "no records"})}
	p.receiving(sink)
	p.give(data(1, 5, 0, 0, 1, 64))
	if e := p.expect(p.dialer, EventEnd); !errors.Is(e.Err, sink.refuse) {
		t.Errorf("the owner is told %+v", e)
	}
	end, err := wire.DecodeLinkEnd(lastFrame(t, collect(p.dialer)))
	if err != nil || end.Code != wire.CodeCorrupt {
		t.Errorf("the peer is told %+v (%v)", end, err)
	}
	// What is still on its way is thrown away, damaged frames are not.
	p.give(data(1, 5, 64, 1, 1, 8000))
	p.give(wire.LinkGapFrame{Stream: 1, Epoch: 9, To: 160, Lost: 1}.Append(nil))
	p.give(wire.LinkEndFrame{Stream: 1}.Append(nil))
	p.quiet(p.dialer)
	p.receiving(&memorySink{limit: 1024})
}

// TestOpenStorm: streams cost an acceptor much, so they are asked for at a bounded
// rate.
func TestOpenStorm(t *testing.T) {
	p := newPair(t, 0)
	frame := append(wire.LinkOpenFrame{Stream: 1, Mode: wire.LinkRead, Ring: "x"}.Append(nil), wire.LinkEndFrame{Stream: 1}.Append(nil)...)
	for second := range 2 {
		for range opensPerSecondMax {
			if err := p.acceptor.Input(int64(second+1)*int64(time.Second), frame); err != nil {
				t.Fatal(err)
			}
		}
	}
	var failed *Error
	if err := p.acceptor.Input(2*int64(time.Second), frame); !errors.As(err, &failed) || failed.Code != wire.CodeBusy {
		t.Fatalf("one more: %v", err)
	}
}

// TestPeerThatDoesNotRead: what waits for it is bounded.
func TestPeerThatDoesNotRead(t *testing.T) {
	p := newPair(t, 0)
	frame := append(wire.LinkOpenFrame{Stream: 1, Mode: wire.LinkRead, Ring: "x"}.Append(nil), wire.LinkEndFrame{Stream: 1}.Append(nil)...)
	answer := len(wire.LinkEndFrame{}.Append(nil))
	for i := range controlBytesMax / answer {
		if err := p.acceptor.Input(int64(i)*int64(10*time.Millisecond), frame); err != nil {
			t.Fatal(err)
		}
	}
	if got := p.acceptor.out.controls; got > controlBytesMax || got <= controlBytesMax-answer {
		t.Fatalf("%d bytes wait", got)
	}
	p.refused(p.acceptor, frame, wire.CodeProtocol, "wait to be read")
}

// TestBeatTellsOfTheRing: a receiver that grants little learns how far the ring
// of its sender goes.
func TestBeatTellsOfTheRing(t *testing.T) {
	p := newPair(t, time.Second)
	source, sink := newSource(t), &memorySink{limit: 1024}
	p.flowing(source.Consumer, sink)
	source.publish(t, 20, 1000)
	p.pump()
	p.now += int64(400 * time.Millisecond)
	if _, err := p.acceptor.Tick(p.now); err != nil {
		t.Fatal(err)
	}
	p.exchange()
	end, err := source.Newest()
	if err != nil {
		t.Fatal(err)
	}
	status := p.dialer.Streams()[0]
	if status.Announced != end || status.Received.Position > 1024 {
		t.Errorf("the receiver is at %+v and takes the ring to end at %+v, it ends at %+v", status.Received, status.Announced, end)
	}
}

// TestLastAck: a receiver that ends its stream says what it keeps first.
func TestLastAck(t *testing.T) {
	p := newPair(t, 0)
	source, sink := newSource(t), &memorySink{limit: 4096}
	stream := p.flowing(source.Consumer, sink)
	source.publish(t, 3, 100)
	p.pump()
	p.dialer.End(stream, wire.LinkEndFrame{})
	p.exchange()
	p.expect(p.acceptor, EventEnd)
	if at := source.Stats(); at.Position != sink.at.Position {
		t.Errorf("released is up to %d, kept up to %d", at.Position, sink.at.Position)
	}
}
