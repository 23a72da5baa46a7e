package shmring

import (
	"fmt"
	"runtime/debug"
	"slices"
)

// Spans: a reader that hands out ring bytes instead of records, to be sent to a
// mirror, and is told later how far they are no longer needed. Its gate, its
// statistics and its cursor follow that (Release), not what was handed out.

// Span is a run of whole committed parts, side by side in the ring, as they lie
// there: data, pads, gaps and ends, never a jump.
type Span struct {
	Bytes []byte // starts with a commit word
	// Position and Sequence are of its first part. Where Position is not the
	// EndBoundary of the span before, there is a hole, of Missed+Gaps records (which may be none).
	Position, Sequence uint64
	Records            uint64 // what Sequence grows by
	Missed, Gaps       uint64 // records lost right before it: overrun or conflated, and by jumps of a mirror
	// Stable: Bytes is a view of the ring that stays as long as this reader's gate
	// holds (Intact) and it is not released. Otherwise a copy, valid until the next NextSpan.
	Stable bool
}

// spanTriesMax is how many overruns and jumps NextSpan goes past before its caller,
// who has other rings to look after, has its turn.
const spanTriesMax = 64

// NextSpan hands out what is committed behind the last span, at most limit bytes
// and Config.ChunkBytesMax, but one part at least, whatever its size. A latest
// reader gets one record, the newest. It is for readers attached with
// ConsumerOptions.Spans. Errors: ErrEmpty, ErrRemoved, ErrDetached, ErrCorrupt,
// ErrFault, ErrClosed.
func (c *Consumer) NextSpan(limit int) (s Span, err error) {
	defer c.m.catch(&err, debug.SetPanicOnFault(true))
	if c.closed {
		return Span{}, ErrClosed
	}
	if !c.spans {
		return Span{}, fmt.Errorf("reader at position %d was not attached for spans", c.pos)
	}
	if c.pos-c.looked >= c.chunk/4 {
		c.looked = c.pos
		if err := c.alive(); err != nil {
			return Span{}, err
		}
	}
	most := min(uint64(max(limit, 0)), c.spanMax)
	for range spanTriesMax {
		if s, err = c.nextSpan(most); err != errLapped && err != errPassing {
			break
		}
	}
	switch err {
	case nil:
		return s, nil
	case errLapped, errPassing:
		err = ErrEmpty // and news still, so that the caller comes again
	}
	if err == ErrEmpty {
		c.tell()
		if reason := c.alive(); reason != nil {
			err = reason
		}
	}
	return Span{}, err
}

// nextSpan is one try. errLapped: what was read was overwritten, the reader went on
// to where the ring is whole. errPassing: a jump was stepped over.
func (c *consumer) nextSpan(most uint64) (s Span, err error) {
	c.noticeDemotion()
	if c.policy == PolicyLatest {
		return c.newestSpan()
	}
	start := boundary{c.pos, c.seq}
	end, gaps, err := c.stretch(start, most)
	if err != nil {
		return Span{}, err
	}
	s = Span{Position: start.pos, Sequence: start.seq, Records: end.seq - start.seq, Stable: c.gating}
	off := c.geometry.at(start.pos)
	s.Bytes = c.b[off : off+end.pos-start.pos : off+end.pos-start.pos]
	if !s.Stable {
		c.copySpan(&s)
	}
	if c.lappable() && c.lapped() {
		return Span{}, c.overrun()
	}
	c.handOut(&s, end, gaps)
	return s, nil
}

// overrun goes on where the ring is whole.
func (c *consumer) overrun() error {
	if c.resync() {
		return errLapped
	}
	return ErrEmpty
}

// stretch walks from start over whole parts, to the first that is not committed, a
// jump, the ring's end, or most bytes; gaps counts the records of gaps on the way.
func (c *consumer) stretch(start boundary, most uint64) (end boundary, gaps uint64, err error) {
	end = start
	limit := start.pos + min(most, c.capacity-start.pos&c.mask)
	for end.pos == start.pos || end.pos&c.mask != 0 {
		p, ok := c.next(end.pos)
		if p.kind == 0 || !ok {
			if c.lappable() && c.lapped() {
				return end, 0, c.overrun()
			}
			if !ok {
				return end, 0, corruptAt(end.pos, "header of a part of kind %d is malformed", p.kind)
			}
			break
		}
		first := end.pos == start.pos
		if p.kind == kindJump && first {
			if c.lappable() && c.lapped() {
				return end, 0, c.overrun()
			}
			c.step(p)
			return end, 0, errPassing
		}
		if p.kind == kindJump || !first && end.pos-start.pos+p.frame > most {
			break
		}
		gaps += p.lost
		end, _ = c.dataRun(p.after(end), limit, 0)
	}
	if end.pos == start.pos {
		return end, 0, ErrEmpty
	}
	return end, gaps, nil
}

// newestSpan is the newest record, or an end of the stream.
func (c *consumer) newestSpan() (Span, error) {
	p, err := c.find()
	if err != nil {
		return Span{}, err
	}
	start := boundary{c.pos, c.seq}
	end := p.after(start)
	off := c.geometry.at(start.pos)
	s := Span{Bytes: c.b[off : off+p.frame], Position: start.pos, Sequence: start.seq, Records: end.seq - start.seq}
	c.copySpan(&s)
	if c.lapped() {
		return Span{}, c.overrun()
	}
	c.handOut(&s, end, 0)
	return s, nil
}

func (c *consumer) copySpan(s *Span) {
	c.buf = slices.Grow(c.buf[:0], len(s.Bytes))[:len(s.Bytes)]
	copyOut(c.buf, c.b, c.geometry.at(s.Position))
	s.Bytes = c.buf
}

// handOut goes on behind a span.
func (c *consumer) handOut(s *Span, end boundary, gaps uint64) {
	s.Missed, s.Gaps = c.missed, c.gaps
	c.missed, c.missedLen, c.gaps = 0, 0, 0
	c.ledger.note(s.Position, &c.stats)
	c.stats.GapRecords += gaps
	c.ledger.note(end.pos-1, &c.stats)
	c.pos, c.seq = end.pos, end.seq
	if s.Stable {
		c.stableEnd = end.pos
	}
}

// EndBoundary is the boundary behind the last span that was handed out.
func (c *Consumer) EndBoundary() Boundary { return boundary{c.pos, c.seq}.public() }

// Intact says whether every stable span that was handed out and is not released is
// still what it was when it was handed out. It can be false only once the reader was
// demoted, or its attachment ended.
func (c *Consumer) Intact() (whole bool) {
	var fault error
	defer func() { whole = whole && fault == nil }()
	defer c.m.catch(&fault, debug.SetPanicOnFault(true))
	return c.intact()
}

// intact: see lapped for the order. Producers that do not respect the gate any more
// have announced before they overwrite.
func (c *consumer) intact() bool {
	if c.released.pos >= c.stableEnd {
		return true
	}
	loadsBefore(&c.private)
	return c.gating && c.holds() || load64(c.b, offAnnounce) <= c.released.pos+c.capacity
}

// Release says that everything before at is not needed any more, and wakes
// producers that were held by it. at lies between what was released before and
// EndBoundary; anything else is an error, and changes nothing. Other errors: ErrFault, ErrClosed.
func (c *Consumer) Release(at Boundary) (err error) {
	defer c.m.catch(&err, debug.SetPanicOnFault(true))
	if c.closed {
		return ErrClosed
	}
	if err := c.release(at.boundary()); err != nil {
		return err
	}
	c.tell()
	return nil
}

func (c *consumer) release(at boundary) error {
	from, to := c.released, boundary{c.pos, c.seq}
	if !at.sane() || at.pos < from.pos || at.pos > to.pos || at.seq < from.seq || at.seq > to.seq {
		return fmt.Errorf("release of position %d, record %d: handed out and not released is from %d, %d to %d, %d",
			at.pos, at.seq, from.pos, from.seq, to.pos, to.seq)
	}
	c.released = at
	lost := c.ledger.settle(at.pos)
	c.settled.MissedRecords, c.settled.MissedBytes, c.settled.GapRecords = lost.missed, lost.missedBytes, lost.gaps
	if known := c.startSeq + lost.missed + lost.gaps; at.seq >= known {
		c.settled.Delivered = at.seq - known
	}
	if c.keep && c.saved != at.pos {
		c.saveCursor()
	}
	return nil
}

// losses are counts as they were when a reader passed a position.
type losses struct {
	position, missed, missedBytes, gaps uint64
}

// ledgerNotesMax bounds what a reader remembers of losses that are handed out and
// not released. With more, what was lost later is told with it, a little late.
const ledgerNotesMax = 64

// spanLedger holds the losses in spans that are not released yet, oldest first.
type spanLedger struct {
	notes   []losses
	settled losses
	last    losses
}

// note remembers the counts that hold once something behind position is released.
func (l *spanLedger) note(position uint64, s *ConsumerStats) {
	now := losses{position, s.MissedRecords, s.MissedBytes, s.GapRecords}
	if now.missed == l.last.missed && now.missedBytes == l.last.missedBytes && now.gaps == l.last.gaps {
		return
	}
	l.last = now
	if len(l.notes) == ledgerNotesMax {
		l.notes = l.notes[:ledgerNotesMax-1]
	}
	l.notes = append(l.notes, now)
}

// settle forgets what lies before a released position and returns the counts there.
func (l *spanLedger) settle(position uint64) losses {
	passed := 0
	for passed < len(l.notes) && l.notes[passed].position < position {
		l.settled = l.notes[passed]
		passed++
	}
	l.notes = slices.Delete(l.notes, 0, passed)
	return l.settled
}
