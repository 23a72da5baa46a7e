package link

import (
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// Sink is where a stream that is received goes: a *shmring.Mirror, or what
// publishes a remote producer's records. It is called from Input, Landed, Tick,
// Take and Receive.
type Sink interface {
	// Place gives the memory for the bytes [16:n) of the chunk at a position,
	// n-16 bytes, which stays until Commit or the next Place.
	Place(position uint64, n int) ([]byte, error)
	// Commit takes over what was placed, after it was found to have arrived
	// undamaged.
	Commit(shmring.Chunk) error
	// Jump goes on at a later position; so many records are lost in between.
	Jump(to, lost uint64) error
	// Progress is what the sink will not ask for again, and how far it may be
	// sent. Once everything received is kept, that should be several of the
	// longest records ahead: less counts as starved, and is asked for again
	// every few milliseconds.
	Progress() (kept shmring.Boundary, limit uint64, err error)
}

// receiver is the receiving end of a stream.
type receiver struct {
	sink   Sink
	next   shmring.Boundary // of what comes next
	acked  shmring.Boundary // as told
	limit  uint64           // as granted
	window uint64           // the most that was ever granted ahead
	frame  uint64           // bytes that the sender may need for its next frame
	lookAt int64            // when to ask the sink again
	pause  int64            // between two looks that found nothing, ns

	bytes, gaps, gapRecords uint64
}

// receiving is the stream that a data or gap frame belongs to; nil and no error
// for one that was ended here and is thrown away. The frame starts where the
// last one ended, and takes bytes up to the limit at most.
func (c *Conn) receiving(kind wire.LinkKind, number uint16, epoch uint64, at shmring.Boundary, bytes uint64) (*stream, error) {
	s := c.find(number)
	switch {
	case s == nil || s.sends(c.c.Dialer) || s.stage == stageAsked:
		return nil, c.fail(wire.CodeProtocol, "%s for stream %d, which this side does not receive", kind, number)
	case s.stage == stageEnded:
		return nil, nil
	case s.rx == nil:
		return nil, c.fail(wire.CodeProtocol, "%s for stream %d before anything was granted", kind, number)
	case epoch != s.epoch:
		return nil, c.fail(wire.CodePosition, "%s for stream %d of epoch %d, which is of epoch %d", kind, number, epoch, s.epoch)
	case at != s.rx.next:
		return nil, c.fail(wire.CodePosition, "%s for stream %d at position %d, record %d; due was position %d, record %d",
			kind, number, at.Position, at.Sequence, s.rx.next.Position, s.rx.next.Sequence)
	case at.Position+bytes > s.rx.limit:
		return nil, c.fail(wire.CodeProtocol, "%s for stream %d up to position %d, beyond the limit of %d", kind, number, at.Position+bytes, s.rx.limit)
	}
	return s, nil
}

// gotData is the head of a data frame: everything but the rest of its body.
func (c *Conn) gotData(now int64) error {
	in := &c.in
	f, err := wire.DecodeLinkData(in.head[:wire.LinkDataHeaderBytes])
	if err != nil {
		return c.fail(wire.CodeProtocol, "%v", err)
	}
	s, err := c.receiving(wire.LinkData, f.Stream, f.Epoch, shmring.Boundary{Position: f.Position, Sequence: f.Sequence}, uint64(f.Bytes))
	if err != nil {
		return err
	}
	in.data, in.stream, in.body, in.blind = f, s, nil, false
	in.left = int(f.Bytes) - firstBytes
	in.sum = addSum(wire.DataSum(in.head[:wire.LinkDataHeaderBytes]), in.head[wire.LinkDataHeaderBytes:])
	if s != nil {
		if in.body, err = s.rx.sink.Place(f.Position, int(f.Bytes)); err != nil {
			c.lose(s, err)
		}
	}
	if in.left > 0 {
		return nil
	}
	return c.gotBody(now)
}

// gotBody is the end of a data frame.
func (c *Conn) gotBody(now int64) error {
	in := &c.in
	s, f := in.stream, in.data
	in.stream, in.body = nil, nil
	if err := wire.CheckDataSum(in.head[:], in.sum); err != nil && !in.blind {
		return c.fail(wire.CodeChecksum, "%v", err)
	}
	if s == nil {
		return nil
	}
	chunk := shmring.Chunk{
		Position: f.Position, Sequence: f.Sequence, Records: f.Records,
		Bytes: int(f.Bytes), First: [firstBytes]byte(in.head[wire.LinkDataHeaderBytes:]),
	}
	if err := s.rx.sink.Commit(chunk); err != nil {
		c.lose(s, err)
		return nil
	}
	s.rx.next = shmring.Boundary{Position: f.Position + uint64(f.Bytes), Sequence: f.Sequence + f.Records}
	s.rx.bytes += uint64(f.Bytes)
	c.committed(s, now)
	return nil
}

func (c *Conn) gotGap(now int64, frame []byte) error {
	f, err := wire.DecodeLinkGap(frame)
	if err != nil {
		return c.fail(wire.CodeProtocol, "%v", err)
	}
	from := shmring.Boundary{Position: f.Position, Sequence: f.Sequence}
	to := shmring.Boundary{Position: f.To, Sequence: f.Sequence + f.Lost}
	if f.To%shmring.AlignBytes != 0 || !follows(from, to) {
		return c.fail(wire.CodePosition, "gap of stream %d from position %d to %d cannot have lost %d records", f.Stream, f.Position, f.To, f.Lost)
	}
	s, err := c.receiving(wire.LinkGap, f.Stream, f.Epoch, from, gapCreditBytes)
	if s == nil || err != nil {
		return err
	}
	if err := s.rx.sink.Jump(f.To, f.Lost); err != nil {
		c.lose(s, err)
		return nil
	}
	// The sender took what it sends next while it had the credit of before.
	s.rx.frame = max(s.part, s.rx.limit-from.Position)
	s.rx.next = to
	s.rx.gaps++
	s.rx.gapRecords += f.Lost
	c.event(Event{Kind: EventGap, Stream: s.number, Gap: f})
	c.progress(s, now, true) // the sender waits for a limit behind the gap
	return nil
}
