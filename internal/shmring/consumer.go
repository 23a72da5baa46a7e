package shmring

import (
	"context"
	"errors"
	"fmt"
	"os"
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

// ConsumerOptions are what an attachment was granted and how it wants to read.
type ConsumerOptions struct {
	Slot       int
	Generation uint32
	Policy     Policy
	Wait       WaitStrategy
	From       Start
	// Tags, if any, are those of the records that are delivered (at most
	// TagsMax); others are stepped over, payload untouched, and count as Filtered.
	Tags []uint16
	// KeepCursor leaves the cursor in the page when this reader ends, for one
	// that starts FromResume; a gating reader goes on gating until the daemon
	// takes the slot back.
	KeepCursor bool
}

// TagsMax is how many tags a reader can select.
const TagsMax = 64

// ConsumerStats count since the attachment began.
type ConsumerStats struct {
	Position, Sequence         uint64 // of the next record
	LagBytes                   uint64 // behind the newest record
	Delivered                  uint64
	MissedRecords, MissedBytes uint64
	GapRecords                 uint64
	Filtered                   uint64 // passed over because of their tag
	ChecksumErrors             uint64 // records whose checksum was wrong
	Gating, Demoted            bool
	Policy                     Policy
	Generation                 uint32
}

// Consumer reads a ring. It is used by one goroutine at a time; after Close no
// method may be called but Close.
type Consumer struct {
	consumer
	m      mapping
	config Config
	wait   WaitStrategy
	start  uint64
	closed bool
}

// OpenConsumer maps what the daemon lent, data read-only and one cursor page
// read-write, and goes to the start position. It closes both files in every
// case. Errors: ErrNotRing, ErrVersion, ErrCorrupt, ErrRemoved, *PositionError.
func OpenConsumer(data, cursor *os.File, o ConsumerOptions) (c *Consumer, err error) {
	defer func() { err = errors.Join(err, data.Close(), cursor.Close()) }()
	if o.Policy < PolicyBlock || o.Policy > PolicyLatest {
		return nil, fmt.Errorf("policy %s: want block, demote, skip or latest", o.Policy)
	}
	if len(o.Tags) > TagsMax {
		return nil, fmt.Errorf("%d tags: want at most %d", len(o.Tags), TagsMax)
	}
	if o.Slot < 0 || o.Slot >= ConsumersMax {
		return nil, fmt.Errorf("slot %d: want 0 to %d", o.Slot, ConsumersMax-1)
	}
	config, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	b, err := mapFile(data, config.dataBytes(), false)
	if err != nil {
		return nil, err
	}
	page, err := mapFile(cursor, cursorPageBytes, true)
	if err != nil {
		return nil, errors.Join(err, unmap(b))
	}
	c = newConsumer(b, page, config, o)
	if err := c.attachGuarded(o.From); err != nil {
		return nil, errors.Join(err, c.unmap())
	}
	return c, nil
}

// newConsumer sets up a Consumer over bytes that are already mapped.
func newConsumer(b, page []byte, config Config, o ConsumerOptions) *Consumer {
	return &Consumer{
		consumer: consumer{
			ring:       ring{geometry: config.geometry(), b: b},
			page:       page,
			slot:       o.Slot,
			generation: o.Generation,
			policy:     o.Policy,
			timestamps: config.Timestamps,
			gating:     o.Policy == PolicyBlock || o.Policy == PolicyDemote,
			gate:       gateNone,
			tags:       o.Tags,
			keep:       o.KeepCursor,
			buf:        make([]byte, config.RecordMax),
		},
		m:      mapping{data: b, cursors: [][]byte{page}},
		config: config,
		wait:   o.Wait,
	}
}

func (c *Consumer) attachGuarded(from Start) (err error) {
	defer c.m.catch(&err, debug.SetPanicOnFault(true))
	if err := c.lent(); err != nil {
		return err
	}
	if err := c.begin(from); err != nil {
		return err
	}
	c.start = c.pos
	return nil
}

// Receive waits for the next record, as the wait strategy says, until ctx ends.
// The payload of a block reader is a view into the ring; that of other readers
// is a copy, checked not to have been overwritten. Errors: ErrEndOfStream (an
// end record; reading may go on), ErrRemoved, ErrDetached, ErrCorrupt,
// ErrFault, ErrClosed, or the cause of ctx's end.
func (c *Consumer) Receive(ctx context.Context) (r Record, err error) {
	defer c.m.catch(&err, debug.SetPanicOnFault(true))
	for {
		switch r, err = c.receive(); err {
		case ErrEmpty:
			err = c.await(ctx)
		case errPassing:
			c.finish()
			c.tell()
			err = context.Cause(ctx)
		default:
			return r, err
		}
		if err != nil {
			return Record{}, err
		}
	}
}

// TryReceive is Receive that returns ErrEmpty instead of waiting.
func (c *Consumer) TryReceive() (r Record, err error) {
	defer c.m.catch(&err, debug.SetPanicOnFault(true))
	for err = errPassing; err == errPassing; {
		r, err = c.receive()
	}
	if err != ErrEmpty {
		return r, err
	}
	c.finish()
	c.tell()
	if err := c.alive(); err != nil {
		return Record{}, err
	}
	return Record{}, ErrEmpty
}

func (c *Consumer) receive() (Record, error) {
	if c.closed {
		return Record{}, ErrClosed
	}
	c.finish()
	for {
		p, err := c.poll()
		var r Record
		if err == nil {
			r, err = c.take(p)
		}
		if err == errLapped {
			if !c.resync() {
				return Record{}, ErrEmpty
			}
			continue
		}
		if c.due() {
			c.tell()
			if err := c.alive(); err != nil {
				return Record{}, err
			}
		}
		return r, err
	}
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
	for n < limit {
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
	r := c.view(p)
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

// Position is that of the next record, in bytes.
func (c *Consumer) Position() uint64 { return c.pos + c.open.frame }

// Sequence is the number of records before the next one in the epoch.
func (c *Consumer) Sequence() uint64 {
	return c.open.after(boundary{c.pos, c.seq}).seq
}

// Start is the position where this reader began.
func (c *Consumer) Start() uint64 { return c.start }

// Epoch is the ring's.
func (c *Consumer) Epoch() uint64 { return c.epoch }

// Config is the ring's geometry.
func (c *Consumer) Config() Config { return c.config }

// Demoted says whether producers have made this reader a skip reader.
func (c *Consumer) Demoted() bool { return c.stats.Demoted }

// Stats are the reader's own counts; LagBytes is left to the daemon's view.
func (c *Consumer) Stats() ConsumerStats {
	s := c.stats
	s.Position, s.Sequence = c.Position(), c.Sequence()
	s.Gating, s.Policy, s.Generation = c.gating, c.policy, c.generation
	return s
}

// Resumed says whether the reader started at a cursor that another had left.
func (c *Consumer) Resumed() bool { return c.resumed }

// Close publishes the final position, stops gating, unless its cursor is kept for
// a successor, and unmaps. Views that were
// handed out must not be used any more. The attachment itself ends with Detach
// or with its connection.
func (c *Consumer) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	return errors.Join(c.leave(), c.unmap())
}

func (c *Consumer) leave() (err error) {
	defer c.m.catch(&err, debug.SetPanicOnFault(true))
	c.finish()
	c.tell()
	if c.gating && !c.keep {
		store64(c.page, cuGate, gateNone)
		futexWake(c.page, cuGate)
	}
	return nil
}

func (c *Consumer) unmap() error {
	return errors.Join(unmap(c.m.data), unmap(c.page))
}
