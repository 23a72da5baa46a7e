package shmring

import (
	"context"
	"errors"
	"runtime/debug"
)

// Record is one record as a reader gets it.
type Record struct {
	Payload   []byte // valid until the next call on the Consumer
	Position  uint64 // bytes
	Sequence  uint64 // records before this one in the epoch
	Timestamp int64  // publish time, ns since the Unix epoch; 0 without timestamps
	Tag       uint16

	// What was lost right before this record.
	Missed, MissedBytes, Gaps uint64
}

// Receive waits for the next record, as the wait strategy says, until ctx ends.
// The payload of a block reader is a view into the ring; that of other readers
// is a copy, checked not to have been overwritten. Errors: ErrEndOfStream (an
// end record; reading may go on), ErrRemoved, ErrDetached, ErrCorrupt,
// ErrFault, ErrClosed, or the cause of ctx's end.
func (c *Consumer) Receive(ctx context.Context) (r Record, err error) {
	defer c.m.catch(&err, debug.SetPanicOnFault(true))
	for round := 0; ; round++ {
		switch err = c.receive(&r); err {
		case ErrEmpty:
			// await comes back at once where there is news, but none that can be had.
			if err = c.await(ctx); err == nil && round >= overrunsMax {
				yield()
				err = c.stop(ctx)
			}
		case errPassing:
			c.finish()
			c.tell()
			err = c.stop(ctx)
		case nil:
			return r, nil
		}
		if err != nil {
			return Record{}, err
		}
	}
}

// stop says why a reader that has found nothing yet must not go on, if so.
func (c *Consumer) stop(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return c.alive()
}

// TryReceive is Receive that returns ErrEmpty instead of waiting, or when it has
// passed over a whole ring and found no record that is wanted.
func (c *Consumer) TryReceive() (r Record, err error) {
	defer c.m.catch(&err, debug.SetPanicOnFault(true))
	for range c.capacity/recordAlign/passedPartsMax + 1 {
		if err = c.receive(&r); err != errPassing {
			break
		}
	}
	if err == nil {
		return r, nil
	}
	if err == errPassing {
		err = ErrEmpty
	}
	if err == ErrEmpty {
		c.finish()
		c.tell()
		if reason := c.alive(); reason != nil {
			err = reason
		}
	}
	return Record{}, err
}

// receive fills in r, which counts only where it returns no error.
func (c *Consumer) receive(r *Record) error {
	if c.closed {
		return ErrClosed
	}
	c.finish()
	for range overrunsMax {
		p, err := c.poll()
		if err == nil {
			err = c.take(p, r)
		}
		if err == errLapped {
			if !c.resync() {
				return ErrEmpty
			}
			continue
		}
		if c.due() {
			c.tell()
			if err := c.alive(); err != nil {
				return err
			}
		}
		return err
	}
	return errPassing
}

// Poll hands up to limit records that are there now to fn, as views into the
// ring whatever the policy, and returns how many it handed over. It returns
// fn's error (that record counts as read), ErrEndOfStream, or the errors of
// Receive; 0 and nil when nothing is there. For a reader that may be overrun
// the view is checked after fn: an *OverrunError says that fn saw garbage, the
// record counts as missed. A fault while fn looks at the view becomes ErrFault.
func (c *Consumer) Poll(fn func(Record) error, limit int) (n int, err error) {
	defer c.m.catch(&err, debug.SetPanicOnFault(true))
	if c.closed {
		return 0, ErrClosed
	}
	c.finish()
	for overrun := 0; n < limit && overrun < overrunsMax; {
		p, err := c.poll()
		if err == ErrEmpty || err == errPassing {
			break
		}
		if err != nil {
			return n, err
		}
		shown, err := c.show(p, fn)
		if shown {
			n++
		} else {
			overrun++
		}
		if err == ErrEmpty && !shown {
			break
		}
		if err != nil {
			return n, err
		}
		if c.due() {
			c.tell()
			if err := c.alive(); err != nil {
				return n, err
			}
		}
	}
	c.finish()
	c.tell()
	return n, c.alive()
}

// show gives fn a view of the part at pos and steps past it. shown is false
// when the part was overwritten: before fn saw it (no error, or ErrEmpty when
// there is nowhere to go on yet), or while it did (*OverrunError).
func (c *Consumer) show(p part, fn func(Record) error) (shown bool, err error) {
	var r Record
	c.view(p, &r)
	r.Missed, r.MissedBytes, r.Gaps = c.missed, c.missedLen, c.gaps
	switch err := c.verify(p, &r); {
	case err == errLapped && !c.resync():
		return false, ErrEmpty
	case err == errLapped:
		return false, nil
	case err != nil:
		return false, err
	}
	err = fn(r)
	if c.lappable() && c.lapped() {
		c.resync()
		return false, errors.Join(&OverrunError{Position: r.Position}, err)
	}
	c.deliver(&r)
	c.step(p)
	c.finish()
	return true, err
}
