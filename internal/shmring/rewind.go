package shmring

import (
	"fmt"
	"runtime/debug"
)

// Rewind makes a reader of spans go on at a boundary that it has handed out and
// not released yet, and releases everything before it: a receiver that has lost
// its connection came back and holds that much. The reader's gate has kept the
// rest all the while, so nothing is lost, which a new reader could not be sure of:
// the announcement may run ahead of what the gate let producers write (gate.go).
// An error has changed nothing: at is no such boundary, or the reader no longer
// gates (ErrDetached, ErrRemoved and the other errors of NextSpan, too).
func (c *Consumer) Rewind(at Boundary) (err error) {
	defer c.m.catch(&err, debug.SetPanicOnFault(true))
	if c.closed {
		return ErrClosed
	}
	if err := c.alive(); err != nil {
		return err
	}
	if err := c.rewind(at.boundary()); err != nil {
		return err
	}
	c.tell()
	return nil
}

func (c *consumer) rewind(to boundary) error {
	if !c.spans || !c.gating || !c.intact() {
		return fmt.Errorf("reader at position %d does not hold what it has handed out", c.pos)
	}
	at, gaps := c.released, uint64(0)
	for at.pos < min(to.pos, c.pos) {
		p, ok := c.next(at.pos)
		if p.kind == 0 || !ok {
			return corruptAt(at.pos, "what a reader holds is no part any more")
		}
		if p.kind == kindJump {
			break // what it stands for was told once
		}
		gaps += p.lost
		at = p.after(at)
	}
	if at != to || !c.intact() {
		return fmt.Errorf("position %d, record %d is no boundary between %d, %d and %d, %d, which were handed out and not released",
			to.pos, to.seq, c.released.pos, c.released.seq, c.pos, c.seq)
	}
	if at.pos == c.pos {
		return c.release(to)
	}
	c.stats = c.ledger.rewind(c.released.pos, at.pos, gaps, c.stats)
	c.pos, c.seq, c.stableEnd, c.looked = to.pos, to.seq, to.pos, to.pos
	c.missed, c.missedLen, c.gaps = 0, 0, 0
	return c.release(to)
}

// rewind forgets the losses behind released but for those gaps up to position, and
// returns stats as they are there.
func (l *spanLedger) rewind(released, position, gaps uint64, stats ConsumerStats) ConsumerStats {
	kept, at := 0, l.settled
	for kept < len(l.notes) && l.notes[kept].position <= released {
		at = l.notes[kept]
		kept++
	}
	l.notes, l.last = l.notes[:kept], at
	stats.MissedRecords, stats.MissedBytes, stats.GapRecords = at.missed, at.missedBytes, at.gaps+gaps
	if position > released {
		l.note(position-1, &stats)
	}
	return stats
}
