package link

import (
	"errors"
	"testing"

	"brokerd/internal/wire"
)

// FuzzInput gives both sides of a connection, which has a stream, whatever comes:
// they refuse it with an *Error or go on, never panic, never put more into a
// sink than was granted, and never keep much.
func FuzzInput(f *testing.F) {
	f.Add(data(1, 5, 0, 0, 1, 64), uint8(7))
	f.Add(wire.LinkGapFrame{Stream: 1, Epoch: 5, To: 160, Lost: 3}.Append(nil), uint8(0))
	f.Add(append(data(1, 5, 0, 0, 1, 512), data(1, 5, 512, 1, 1, 512)...), uint8(100))
	f.Add(wire.LinkEndFrame{Stream: 1, Code: wire.CodeRemoved}.Append(nil), uint8(3))
	f.Add(wire.LinkAckFrame{Stream: 1, Limit: 4096}.Append(nil), uint8(3))
	f.Add(wire.LinkBeatFrame{Time: 5, Sent: []wire.LinkSent{{Stream: 1, Position: 64}}}.Append(nil), uint8(3))
	f.Add(wire.LinkOpenFrame{Stream: 2, Mode: wire.LinkProduce, Ring: "x"}.Append(nil), uint8(3))
	f.Fuzz(func(t *testing.T, input []byte, step uint8) {
		p := newPair(t, 0)
		sink := &boundedSink{memorySink{limit: 1024}, t}
		p.receiving(sink)
		for _, c := range []*Conn{p.dialer, p.acceptor} {
			feed(t, c, input, int(step)+1)
		}
		feed(t, New(Config{Name: "a"}, 0), input, int(step)+1)
		feed(t, New(Config{Dialer: true, Name: "b"}, 0), input, int(step)+1)
	})
}

// feed gives input in pieces, some of them directly.
func feed(t *testing.T, c *Conn, input []byte, step int) {
	for len(input) > 0 {
		n := min(step, len(input))
		var err error
		if direct := c.Direct(); direct != nil {
			n = copy(direct, input[:n])
			err = c.Landed(0, n)
		} else {
			err = c.Input(0, input[:n])
		}
		input = input[n:]
		if err == nil {
			_, err = c.Tick(0)
		}
		for {
			if _, ok := c.Next(); !ok {
				break
			}
		}
		if failure := (*Error)(nil); err != nil && !errors.As(err, &failure) {
			t.Fatalf("%v is no *Error", err)
		}
	}
	if c.out.bytes > controlBytesMax+2*wire.LinkControlBytesMax {
		t.Fatalf("%d bytes of output", c.out.bytes)
	}
}

// boundedSink fails the test when it gets more than it granted.
type boundedSink struct {
	memorySink
	t *testing.T
}

func (b *boundedSink) Place(position uint64, n int) ([]byte, error) {
	if position != b.at.Position || position+uint64(n) > b.limit || n < 16 || n%16 != 0 {
		b.t.Fatalf("%d bytes are placed at %d, at %d with a limit of %d", n, position, b.at.Position, b.limit)
	}
	return b.memorySink.Place(position, n)
}

func (b *boundedSink) Jump(to, lost uint64) error {
	if b.at.Position+gapCreditBytes > b.limit || to <= b.at.Position {
		b.t.Fatalf("a jump from %d to %d with a limit of %d", b.at.Position, to, b.limit)
	}
	return b.memorySink.Jump(to, lost)
}

// FuzzMutated changes bytes of a good conversation, which is longer than a random
// one would become: what is committed afterwards is what was sent.
func FuzzMutated(f *testing.F) {
	f.Add(uint16(20), byte(1))
	f.Add(uint16(70), byte(255))
	f.Add(uint16(700), byte(16))
	f.Fuzz(func(t *testing.T, at uint16, change byte) {
		p := newPair(t, 0)
		sink := &memorySink{limit: 1 << 20}
		p.receiving(sink)
		var all, body []byte
		for n := range uint64(6) {
			frame := data(1, 5, n*256, n, 1, 256)
			all, body = append(all, frame...), append(body, frame[wire.LinkDataHeaderBytes:]...)
		}
		all[int(at)%len(all)] ^= change
		err := p.dialer.Input(0, all)
		if change != 0 && err == nil && p.dialer.in.left == 0 && p.dialer.in.have == 0 && p.dialer.in.frame == nil {
			t.Error("a changed conversation was taken as it is")
		}
		if string(sink.data) != string(body[:len(sink.data)]) {
			t.Error("what was committed is not what was sent")
		}
	})
}
