package link

import (
	"errors"
	"fmt"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

const (
	gapCreditBytes = shmring.JumpBytesMax
	copiedBytesMax = 2048 // shorter spans are copied: cheaper than a slice of their own
)

// sender is the sending end of a stream.
type sender struct {
	source   *shmring.Consumer // nil before Supply, and when the stream is over
	span     shmring.Span      // taken from source, to be sent next
	taken    bool
	sent     shmring.Boundary // behind what is in the output
	flushed  shmring.Boundary // behind what was sent
	acked    shmring.Boundary // by the peer
	released shmring.Boundary // given back to source
	limit    uint64           // no byte at or past it may be sent
	dry      bool             // source had nothing when it was asked last
	bytes    uint64           // ring bytes queued

	gaps, gapRecords uint64
}

func newSender(start shmring.Boundary) *sender {
	return &sender{sent: start, flushed: start, acked: start, released: start}
}

// Pump moves into the output what the readers have, as far as the receivers
// granted and OutputBytesMax allows: one frame of each stream in turn.
func (c *Conn) Pump(now int64) error {
	if c.phase != phaseReady {
		return nil
	}
	for idle := 0; idle < len(c.streams) && c.out.bytes < c.c.OutputBytesMax; {
		c.turn = (c.turn + 1) % len(c.streams)
		idle++
		s := c.streams[c.turn]
		if s.tx == nil || s.tx.source == nil {
			continue
		}
		switch moved, err := c.pump(s); {
		case err != nil:
			c.lose(s, err)
		case moved:
			idle = 0
		}
	}
	return c.verdict()
}

// pump makes one step with a stream: a span taken, a gap or a frame queued.
func (c *Conn) pump(s *stream) (moved bool, err error) {
	t := s.tx
	if t.taken && t.span.Stable && !t.source.Intact() {
		t.taken = false // its records are missed: the next span starts behind them
	}
	if !t.taken {
		if t.limit < t.sent.Position+shmring.AlignBytes {
			return false, nil
		}
		room := min(t.limit-t.sent.Position, uint64(c.c.FrameBytesMax), uint64(c.c.OutputBytesMax))
		if t.span, err = t.source.NextSpan(int(room)); err != nil {
			if t.dry = errors.Is(err, shmring.ErrEmpty); t.dry {
				err = nil
			}
			return false, err
		}
		t.taken, t.dry = true, false
	}
	at := shmring.Boundary{Position: t.span.Position, Sequence: t.span.Sequence}
	if at != t.sent {
		if !follows(t.sent, at) {
			return false, fmt.Errorf("%w: its reader went from position %d, record %d to position %d, record %d",
				shmring.ErrCorrupt, t.sent.Position, t.sent.Sequence, at.Position, at.Sequence)
		}
		if t.limit < t.sent.Position+gapCreditBytes {
			return false, nil
		}
		c.queueGap(s, at)
		return true, nil
	}
	if t.sent.Position+uint64(len(t.span.Bytes)) > t.limit {
		return false, nil
	}
	t.taken = false
	return true, c.queueData(s)
}

// queueGap says that the reader goes on at a later boundary.
func (c *Conn) queueGap(s *stream, to shmring.Boundary) {
	t := s.tx
	f := wire.LinkGapFrame{
		Stream: s.number, Missed: t.span.Missed > 0, Epoch: s.epoch,
		Position: t.sent.Position, Sequence: t.sent.Sequence,
		To: to.Position, Lost: to.Sequence - t.sent.Sequence,
	}
	c.out.push(outFrame{kind: outGap, head: c.out.encode(frameRoomBytes, f.Append), stream: s, from: t.sent, to: to})
	t.sent = to
}

// queueData queues the span. A view stays where it is: its checksum is taken now,
// and Output, Sent and salvage see to it that what is sent is what was summed.
func (c *Conn) queueData(s *stream) error {
	t := s.tx
	span := t.span
	t.span = shmring.Span{}
	head := wire.LinkDataFrame{
		Stream: s.number, Epoch: s.epoch, Position: span.Position, Sequence: span.Sequence, Records: span.Records,
	}
	f := outFrame{kind: outData, stream: s, from: t.sent, to: shmring.Boundary{
		Position: span.Position + uint64(len(span.Bytes)), Sequence: span.Sequence + span.Records,
	}}
	copied := !span.Stable || len(span.Bytes) <= copiedBytesMax
	room := wire.LinkDataHeaderBytes
	if copied {
		room += len(span.Bytes)
	}
	if err := shmring.Guarded(func() {
		f.head = c.out.encode(room, func(b []byte) []byte {
			b = head.Append(b, span.Bytes)
			if copied {
				b = append(b, span.Bytes...)
			}
			return b
		})
	}); err != nil {
		return err
	}
	if !copied {
		f.body, f.ring = span.Bytes, true
	}
	c.out.push(f)
	t.sent = f.to
	t.bytes += uint64(len(span.Bytes))
	return nil
}

func (c *Conn) gotAck(frame []byte) error {
	a, err := wire.DecodeLinkAck(frame)
	if err != nil {
		return c.fail(wire.CodeProtocol, "%v", err)
	}
	s := c.find(a.Stream)
	switch {
	case s == nil || !s.sends(c.c.Dialer) || s.stage == stageAsked:
		return c.fail(wire.CodeProtocol, "ack for stream %d, which this side does not send", a.Stream)
	case s.stage == stageEnded:
		return nil
	}
	t := s.tx
	at := shmring.Boundary{Position: a.Position, Sequence: a.Sequence}
	if at.Position%shmring.AlignBytes != 0 || !follows(t.acked, at) || !follows(at, t.flushed) {
		return c.fail(wire.CodePosition, "ack of stream %d up to position %d, record %d; it was at position %d, record %d, and sent is up to position %d, record %d",
			a.Stream, at.Position, at.Sequence, t.acked.Position, t.acked.Sequence, t.flushed.Position, t.flushed.Sequence)
	}
	t.acked = at
	t.limit = max(t.limit, a.Limit)
	if t.source != nil && at.Position > t.released.Position {
		t.released = at
		if err := t.source.Release(at); err != nil {
			c.lose(s, err)
		}
	}
	return nil
}
