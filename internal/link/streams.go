package link

import (
	"fmt"
	"slices"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// stage is how far a stream has come.
type stage uint8

const (
	stageAsked  stage = iota // Open was sent, or has come and was not answered yet
	stageOpened              // a dialer's owner has to give it its end
	stageFlows               // it has both ends
	stageEnded               // an end was sent, the peer's is due
)

// stream is one stream of a connection.
type stream struct {
	number uint16
	stage  stage
	open   wire.LinkOpenFrame
	epoch  uint64
	start  shmring.Boundary
	part   uint64 // bytes of the longest part but a pad

	tx        *sender
	rx        *receiver
	announced shmring.Boundary // by the peer's last beat
}

// sends says whether this side sends the ring bytes of the stream.
func (s *stream) sends(dialer bool) bool { return dialer == (s.open.Mode == wire.LinkProduce) }

func (c *Conn) find(number uint16) *stream {
	for _, s := range c.streams {
		if s.number == number {
			return s
		}
	}
	return nil
}

// at is the stream with a number, if it is in that stage and this side sends it,
// or receives it.
func (c *Conn) at(number uint16, is stage, sends bool) (*stream, error) {
	if c.phase != phaseReady {
		return nil, ErrNotReady
	}
	s := c.find(number)
	if s == nil || s.stage != is || s.sends(c.c.Dialer) != sends {
		return nil, fmt.Errorf("stream %d: %w", number, ErrStream)
	}
	return s, nil
}

// Open asks the acceptor for a stream and returns its number; o.Stream is not
// looked at. An EventOpened or an EventEnd will answer. Errors: ErrNotReady,
// ErrStreams.
func (c *Conn) Open(o wire.LinkOpenFrame) (uint16, error) {
	if !c.c.Dialer || c.phase != phaseReady {
		return 0, ErrNotReady
	}
	if len(c.streams) >= c.streamsMax {
		return 0, fmt.Errorf("%w: %s takes %d", ErrStreams, c.peer.name, c.streamsMax)
	}
	o.Stream = 1
	for c.find(o.Stream) != nil {
		o.Stream++
	}
	c.streams = append(c.streams, &stream{number: o.Stream, open: o})
	c.out.control(o.Append)
	return o.Stream, nil
}

func (c *Conn) gotOpen(now int64, frame []byte) error {
	o, err := wire.DecodeLinkOpen(frame)
	if now-c.opensSince >= int64(time.Second) {
		c.opensSince, c.opens = now, 0
	}
	c.opens++
	switch {
	case err != nil:
		return c.fail(wire.CodeProtocol, "%v", err)
	case c.c.Dialer:
		return c.fail(wire.CodeProtocol, "open comes from the one who dialled")
	case c.find(o.Stream) != nil:
		return c.fail(wire.CodeProtocol, "open of stream %d, which is in use", o.Stream)
	case len(c.streams) >= c.streamsMax:
		return c.fail(wire.CodeBusy, "more than %d streams at a time", c.streamsMax)
	case c.opens > opensPerSecondMax:
		return c.fail(wire.CodeBusy, "more than %d opens in a second", opensPerSecondMax)
	}
	c.streams = append(c.streams, &stream{number: o.Stream, open: o})
	c.event(Event{Kind: EventOpen, Stream: o.Stream, Open: o})
	return nil
}

func (c *Conn) gotOpened(frame []byte) error {
	o, err := wire.DecodeLinkOpened(frame)
	if err != nil {
		return c.fail(wire.CodeProtocol, "%v", err)
	}
	s := c.find(o.Stream)
	switch {
	case !c.c.Dialer || s == nil || s.stage != stageAsked && s.stage != stageEnded:
		return c.fail(wire.CodeProtocol, "opened for stream %d, which was not asked for", o.Stream)
	case s.stage == stageEnded:
		return nil // it crossed our end
	case s.open.Mode != wire.LinkProduce && s.open.From == wire.LinkFromHeld && s.open.Epoch == o.Epoch && (s.open.Position != o.Position || s.open.Sequence != o.Sequence):
		return c.fail(wire.CodePosition, "stream %d starts at position %d, record %d; held and asked for was position %d, record %d",
			o.Stream, o.Position, o.Sequence, s.open.Position, s.open.Sequence)
	}
	s.opened(o, stageOpened)
	if s.sends(true) {
		s.tx = newSender(s.start)
	}
	c.event(Event{Kind: EventOpened, Stream: o.Stream, Open: s.open, Opened: o})
	return nil
}

func (s *stream) opened(o wire.LinkOpenedFrame, now stage) {
	s.stage = now
	s.epoch = o.Epoch
	s.start = shmring.Boundary{Position: o.Position, Sequence: o.Sequence}
	s.part = uint64(o.RecordMax) + shmring.RecordOverheadBytesMax
}

// Serve answers an EventOpen of an acceptor with a reader of the ring: it was
// opened with Spans, and stands where the stream is to start. Epoch, Position and
// Sequence of o are filled in. For a dialer that holds records of the same epoch
// the stream starts where these end; what the ring lost in between becomes a
// gap. Errors: ErrStream, ErrNotReady, or that the dialer holds what the reader
// cannot come after.
func (c *Conn) Serve(stream uint16, o wire.LinkOpenedFrame, source *shmring.Consumer) error {
	s, err := c.at(stream, stageAsked, true)
	if err != nil {
		return err
	}
	from := source.EndBoundary()
	start := from
	if s.open.From == wire.LinkFromHeld && s.open.Epoch == source.Epoch() {
		start = shmring.Boundary{Position: s.open.Position, Sequence: s.open.Sequence}
	}
	if !follows(start, from) {
		return fmt.Errorf("stream %d: the peer holds everything up to position %d, record %d, which does not lead to position %d, record %d of the ring",
			stream, start.Position, start.Sequence, from.Position, from.Sequence)
	}
	o.Stream, o.Epoch, o.Position, o.Sequence = stream, source.Epoch(), start.Position, start.Sequence
	s.opened(o, stageFlows)
	s.tx = newSender(start)
	s.tx.source, s.tx.released = source, from
	c.out.control(o.Append)
	return nil
}

// follows says whether a gap, or nothing, can lie between two boundaries.
func follows(a, b shmring.Boundary) bool {
	return b.Position >= a.Position && b.Sequence >= a.Sequence &&
		b.Sequence-a.Sequence <= (b.Position-a.Position)/shmring.AlignBytes
}

// Take answers an EventOpen of an acceptor with a sink for what the dialer
// produces. Position and Sequence of o say how much of it the sink has already.
// Errors: ErrStream, ErrNotReady, those of sink.Progress.
func (c *Conn) Take(stream uint16, o wire.LinkOpenedFrame, sink Sink) error {
	s, err := c.at(stream, stageAsked, false)
	if err != nil {
		return err
	}
	kept, limit, err := sink.Progress()
	if err != nil {
		return err
	}
	o.Stream = stream
	s.opened(o, stageFlows)
	c.out.control(o.Append)
	c.begin(s, sink, kept, limit)
	return nil
}

// Receive answers an EventOpened of a dialer with the sink for what comes: its end
// is at the Position of the event. Errors: ErrStream, ErrNotReady, those of
// sink.Progress.
func (c *Conn) Receive(stream uint16, sink Sink) error {
	s, err := c.at(stream, stageOpened, false)
	if err != nil {
		return err
	}
	kept, limit, err := sink.Progress()
	if err != nil {
		return err
	}
	s.stage = stageFlows
	c.begin(s, sink, kept, limit)
	return nil
}

// Supply answers an EventOpened of a dialer that produces with the reader of what
// it has: opened with Spans, at the Position of the event. Errors: ErrStream,
// ErrNotReady, or that the reader stands elsewhere.
func (c *Conn) Supply(stream uint16, source *shmring.Consumer) error {
	s, err := c.at(stream, stageOpened, true)
	if err != nil {
		return err
	}
	if from := source.EndBoundary(); from != s.start {
		return fmt.Errorf("stream %d: the reader stands at position %d, record %d; published is up to position %d, record %d",
			stream, from.Position, from.Sequence, s.start.Position, s.start.Sequence)
	}
	s.stage = stageFlows
	s.tx.source, s.tx.released = source, s.start
	return nil
}

// End refuses a stream or ends it, from either side. The sender is told a last
// time what a sink keeps. The stream's reader or sink is not touched any more. A
// stream that does not exist is none to end.
func (c *Conn) End(stream uint16, e wire.LinkEndFrame) {
	s := c.find(stream)
	if s == nil || s.stage == stageEnded {
		return
	}
	if s.rx != nil {
		if kept, limit, err := s.rx.sink.Progress(); err == nil && kept.Position > s.rx.acked.Position {
			s.rx.tell(c, s, kept, limit)
		}
	}
	c.end(s, e)
}

func (c *Conn) end(s *stream, e wire.LinkEndFrame) {
	c.disconnect(s)
	s.stage = stageEnded
	e.Stream = s.number
	c.out.control(e.Append)
}

// disconnect parts a stream from its end.
func (c *Conn) disconnect(s *stream) {
	if c.in.stream == s {
		c.in.body, c.in.stream = nil, nil // the rest of the frame is thrown away
	}
	s.rx = nil
	if s.tx == nil || s.tx.source == nil {
		return
	}
	c.out.drop(s, 0)
	if len(c.out.queue) > 0 && c.out.queue[0].stream == s && !c.out.queue[0].settle() {
		c.overwritten(s)
	}
	s.tx.source, s.tx.taken, s.tx.span = nil, false, shmring.Span{}
}

// lose ends a stream whose end has failed here.
func (c *Conn) lose(s *stream, err error) {
	last := s.status()
	c.end(s, wire.LinkEndFrame{Code: codeOf(err), Message: err.Error()})
	c.event(Event{Kind: EventEnd, Stream: s.number, Last: last, Err: err})
}

func (c *Conn) gotEnd(frame []byte) error {
	e, err := wire.DecodeLinkEnd(frame)
	if err != nil {
		return c.fail(wire.CodeProtocol, "%v", err)
	}
	s := c.find(e.Stream)
	if s == nil {
		return c.fail(wire.CodeProtocol, "end of stream %d, which is not open", e.Stream)
	}
	if s.stage != stageEnded {
		last := s.status()
		c.end(s, wire.LinkEndFrame{Code: wire.CodeGoodbye})
		c.event(Event{Kind: EventEnd, Stream: e.Stream, End: e, Last: last})
	}
	c.streams = slices.DeleteFunc(c.streams, func(other *stream) bool { return other == s })
	return c.verdict()
}
