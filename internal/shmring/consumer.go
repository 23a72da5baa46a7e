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
}

// ConsumerStats count since the attachment began.
type ConsumerStats struct {
	Position, Sequence         uint64 // of the next record
	LagBytes                   uint64 // behind the newest record
	Delivered                  uint64
	MissedRecords, MissedBytes uint64
	GapRecords                 uint64
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
	if o.Policy < PolicyBlock || o.Policy > PolicySkip {
		return nil, fmt.Errorf("%w: policy %s", ErrNotSupported, o.Policy)
	}
	if o.Slot < 0 || o.Slot >= ConsumersMax {
		return nil, fmt.Errorf("slot %d: want 0 to %d", o.Slot, ConsumersMax-1)
	}
	config, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	if config.Many || config.Checksum {
		return nil, fmt.Errorf("%w: rings with many producers or checksums", ErrNotSupported)
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
	if err := c.attach(from); err != nil {
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
		if r, err = c.receive(); err != ErrEmpty {
			return r, err
		}
		if err := c.await(ctx); err != nil {
			return Record{}, err
		}
	}
}

// TryReceive is Receive that returns ErrEmpty instead of waiting.
func (c *Consumer) TryReceive() (r Record, err error) {
	defer c.m.catch(&err, debug.SetPanicOnFault(true))
	if r, err = c.receive(); err != ErrEmpty {
		return r, err
	}
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
		if err != nil {
			return Record{}, err
		}
		r, ok := c.take(p)
		if !ok {
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
		return r, nil
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
		if err == ErrEmpty {
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
	c.tell()
	return n, c.alive()
}

// show gives fn a view of the part at pos and steps past it. shown is false
// when the part was overwritten: before fn saw it (no error, or ErrEmpty when
// there is nowhere to go on yet), or while it did (*OverrunError).
func (c *Consumer) show(p part, fn func(Record) error) (shown bool, err error) {
	r := c.view(p)
	r.Missed, r.MissedBytes, r.Gaps = c.missed, c.missedLen, c.gaps
	if c.lappable() && c.lapped() {
		if !c.resync() {
			return false, ErrEmpty
		}
		return false, nil
	}
	err = fn(r)
	if c.lappable() && c.lapped() {
		c.resync()
		return false, errors.Join(&OverrunError{Position: r.Position}, err)
	}
	c.deliver(&r)
	c.step(p)
	return true, err
}

// tell publishes gate and statistics and wakes a producer that waits for them.
func (c *Consumer) tell() {
	if c.publish() {
		futexWake(c.page, cuGate)
	}
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

// Close stops gating, publishes the final position and unmaps. Views that were
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
	if c.gating {
		store64(c.page, cuGate, gateNone)
		futexWake(c.page, cuGate)
	}
	return nil
}

func (c *Consumer) unmap() error {
	return errors.Join(unmap(c.m.data), unmap(c.page))
}
