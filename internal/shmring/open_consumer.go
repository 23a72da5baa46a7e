package shmring

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
)

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
	// Spans is for a reader that takes spans (NextSpan): gate, statistics and
	// cursor follow Release and not what was handed out.
	Spans bool
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
// case. Errors: ErrVersion, ErrCorrupt, ErrFault, ErrRemoved, *PositionError.
func OpenConsumer(data, cursor *os.File, o ConsumerOptions) (c *Consumer, err error) {
	defer func() { err = errors.Join(err, data.Close(), cursor.Close()) }()
	if o.Policy < PolicyBlock || o.Policy > PolicyLatest {
		return nil, fmt.Errorf("policy %s: want block, demote, skip or latest", o.Policy)
	}
	if o.Spans && len(o.Tags) > 0 {
		return nil, errors.New("a reader of spans gets all records: it cannot select tags")
	}
	if len(o.Tags) > TagsMax {
		return nil, fmt.Errorf("%d tags: want at most %d", len(o.Tags), TagsMax)
	}
	if o.Slot < 0 || o.Slot >= ConsumersMax {
		return nil, fmt.Errorf("slot %d: want 0 to %d", o.Slot, ConsumersMax-1)
	}
	config, err := lentHeader(data)
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
	c := &Consumer{
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
			spans:      o.Spans,
		},
		m:      mapping{data: b, cursors: [][]byte{page}},
		config: config,
		wait:   o.Wait,
	}
	if !o.Spans {
		c.buf = make([]byte, config.RecordMax)
	}
	return c
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
	c.released, c.startSeq = boundary{c.pos, c.seq}, c.seq-c.stats.MissedRecords
	return nil
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
	if c.spans {
		s = c.settled
		s.Position, s.Sequence, s.Demoted = c.released.pos, c.released.seq, c.stats.Demoted
	}
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
