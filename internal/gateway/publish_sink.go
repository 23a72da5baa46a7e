package gateway

import (
	"context"
	"errors"
	"fmt"

	"brokerd/internal/shmring"
)

// stretch is a run of parts that were found good, and where it starts.
type stretch struct {
	bytes []byte
	at    shmring.Boundary
}

// A publisher as the sink of a stream (link.Sink): chunks of the private ring of a
// remote producer come in, records are published.

func (p *publisher) windowBytes() uint64 { return max(publishBytesMax, 2*p.unpack.PartBytesMax()) }

// Place gives memory for a chunk.
func (p *publisher) Place(position uint64, n int) ([]byte, error) {
	if p.failed != nil {
		return nil, p.failed
	}
	if position != p.received.Position || n < shmring.AlignBytes || uint64(n) > max(chunkBytesMax, p.unpack.PartBytesMax()) {
		return nil, &shmring.ChunkError{Position: position, Reason: fmt.Sprintf("%d bytes at position %d; due are at most %d at position %d",
			n, position, max(chunkBytesMax, p.unpack.PartBytesMax()), p.received.Position)}
	}
	p.placed = make([]byte, n)
	return p.placed[shmring.AlignBytes:], nil
}

// Commit takes the chunk over, and publishes it as far as the ring takes it.
func (p *publisher) Commit(c shmring.Chunk) error {
	chunk := p.placed
	p.placed = nil
	if c.Bytes != len(chunk) || c.Position != p.received.Position || c.Sequence != p.received.Sequence {
		return &shmring.ChunkError{Position: c.Position, Reason: "not the chunk that was placed"}
	}
	copy(chunk, c.First[:])
	end, err := p.unpack.Check(chunk, p.received)
	if err != nil {
		return err
	}
	if records := end.Sequence - p.received.Sequence; records != c.Records {
		return &shmring.ChunkError{Position: c.Position, Reason: fmt.Sprintf("holds %d records, not %d", records, c.Records)}
	}
	p.moved.in += uint64(len(chunk))
	p.queue = append(p.queue, stretch{chunk, p.received})
	p.received = end
	p.drain()
	return p.failed
}

// Jump is no part of producing: nothing that a producer has sent is lost.
func (p *publisher) Jump(to, lost uint64) error {
	return &shmring.ChunkError{Position: p.received.Position, Reason: fmt.Sprintf("a gap to position %d: a producer has none", to)}
}

// Progress tells what is in the ring, and how much more may come.
func (p *publisher) Progress() (shmring.Boundary, uint64, error) {
	p.drain()
	return p.published, p.published.Position + p.windowBytes(), p.failed
}

// drain publishes what waits, until the ring takes no more.
func (p *publisher) drain() {
	if len(p.queue) == 0 || p.failed != nil {
		return
	}
	var err error
	if fault := shmring.Guarded(func() { err = p.publishAll() }); fault != nil {
		err = fault
	}
	switch {
	case errors.Is(err, shmring.ErrFull):
		p.pause = nextRetry(p.pause)
		p.retryAt = p.g.loop.now() + p.pause.Nanoseconds()
	case err != nil:
		p.failed = err
	default:
		p.queue, p.pause = nil, 0
	}
}

func (p *publisher) publishAll() error {
	for len(p.queue) > 0 {
		s := &p.queue[0]
		for len(s.bytes) > 0 {
			part := p.unpack.Take(s.bytes, s.at)
			if err := p.publish(part); err != nil {
				return err
			}
			p.pause = 0
			s.bytes, s.at = s.bytes[part.Bytes:], part.After
			p.published = part.After
		}
		p.queue = p.queue[1:]
	}
	return nil
}

// publish is one part. What is to be published is noted before it is visible, so
// that it is known after a kill at any instruction whether it was. An end of
// stream has no place before it is published; a kill right behind it doubles it.
func (p *publisher) publish(part shmring.Part) error {
	switch {
	case part.Record:
		p.producer.SetTag(part.Tag)
		body, err := p.producer.Reserve(context.Background(), len(part.Payload))
		if err != nil {
			return err
		}
		p.journal.Note(p.entry, p.producer.ClaimPosition(), part.After)
		copy(body, part.Payload)
		return p.producer.Commit()
	case part.End:
		if err := p.producer.End(context.Background()); err != nil {
			return err
		}
	}
	// Pads and gaps are no records, but acknowledged: a daemon that comes back must
	// know of them, or the producer would take it for one that has lost the session.
	p.journal.Pass(p.entry, part.After)
	return nil
}

// publishQueued tries again for the rings that were full, and says when to next.
func (c *conn) publishQueued(now int64) (next int64) {
	next = never
	for _, p := range c.publishers {
		if len(p.queue) > 0 && now >= p.retryAt {
			p.drain()
		}
		if len(p.queue) > 0 && p.failed == nil {
			next = min(next, p.retryAt)
		}
	}
	return next
}
