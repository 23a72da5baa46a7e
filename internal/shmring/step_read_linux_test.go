//go:build ringstep

package shmring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"brokerd/internal/stepping"
)

// stepReading is a reader in the process that is stopped: what it attaches as, and
// how many bytes were published since then when its operation begins.
type stepReading struct {
	policy Policy
	from   Start
	keep   bool
	spans  bool
	ahead  uint64
	demote time.Duration // of a demote reader; 0 for never
	resume bool          // a former reader of the slot has left its cursor
	closes bool          // the operation ends it
}

func (o stepReading) binding(generation uint32) Binding {
	b := Binding{Generation: generation, Policy: o.policy, Parks: true, DemoteAfter: time.Hour}
	if o.demote > 0 {
		b.DemoteAfter = o.demote
	}
	return b
}

func (o stepReading) options() ConsumerOptions {
	return ConsumerOptions{From: o.from, KeepCursor: o.keep, Spans: o.spans}
}

func (o stepReading) gates() bool { return o.policy == PolicyBlock || o.policy == PolicyDemote }

// stepConsumerChild is the reader's own process.
type stepConsumerChild struct {
	*stepChild
	o stepReading
	r stepReader
}

func (c *stepConsumerChild) open() (err error) {
	c.r = stepReader{whole: c.o.gates() && c.o.demote == 0, last: map[uint64]uint64{}}
	generation := uint32(1 + b2n(c.o.resume))
	c.r.c, err = stepConsumer(c.ring, stepFourthSlot, c.o.binding(generation), c.o.options())
	return err
}

// receive reads n records, one by one.
func (c *stepConsumerChild) receive(n int) error {
	for range n {
		rec, err := c.r.c.Receive(context.Background())
		if err == nil {
			err = c.r.take(rec)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readAll reads what is there, and gives the last record back.
func (c *stepConsumerChild) readAll() error {
	if err := c.r.drain(); err != nil {
		return err
	}
	return c.r.books()
}

// pass takes what there is in spans, and releases them.
func (c *stepConsumerChild) pass() error {
	for {
		from := c.r.c.EndBoundary()
		span, err := c.r.c.NextSpan(4 * stepRecordBytes)
		if err == ErrEmpty {
			return nil
		}
		if err != nil {
			return err
		}
		if span.Position != from.Position || span.Sequence != from.Sequence || span.Missed != 0 {
			return fmt.Errorf("behind %+v comes a span %+v", from, span)
		}
		if err := c.r.c.Release(c.r.c.EndBoundary()); err != nil {
			return err
		}
	}
}

// rewind takes two spans, releases half of the first, and goes back to its end.
func (c *stepConsumerChild) rewind() error {
	var ends [2]Boundary
	for i := range ends {
		if _, err := c.r.c.NextSpan(2 * stepRecordBytes); err != nil {
			return err
		}
		ends[i] = c.r.c.EndBoundary()
	}
	return c.r.c.Rewind(ends[0])
}

// leave reads up to a record and tells the books.
func (c *stepConsumerChild) leave(answer []uint64) ([]uint64, error) {
	if c.o.closes || c.Mode == stepping.Evict {
		return []uint64{c.r.c.Sequence()}, nil
	}
	read := c.r.drain
	if c.o.spans {
		read = c.pass
	}
	for deadline := time.Now().Add(stepping.Patience); c.r.c.Sequence() < answer[0]; time.Sleep(stepping.Idle) {
		if err := read(); err != nil {
			return nil, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("it stays at record %d of %d", c.r.c.Sequence(), answer[0])
		}
	}
	if err := c.r.books(); err != nil {
		return nil, err
	}
	return []uint64{c.r.c.Sequence()}, c.r.c.Close()
}

func readerOp(name string, o stepReading, attached bool, run func(c *stepConsumerChild) error) stepping.Op {
	return stepping.Op{
		Name:  "reader: " + name,
		Evict: true,
		Part:  func() stepping.Part { return &reading{o: o, attached: attached} },
		Child: stepIn(func(child *stepChild) (func() error, error) {
			c := &stepConsumerChild{stepChild: child, o: o}
			if attached {
				if err := c.open(); err != nil {
					return nil, err
				}
				c.Said = []uint64{c.r.c.Sequence()}
			}
			c.After = c.leave
			return func() error { return run(c) }, nil
		}),
	}
}

func stepsOfReaders() (ops []stepping.Op) {
	open := (*stepConsumerChild).open
	receive := func(n int) func(*stepConsumerChild) error {
		return func(c *stepConsumerChild) error { return c.receive(n) }
	}
	closing := func(c *stepConsumerChild) error { return errors.Join(c.receive(1), c.r.c.Close()) }
	for p := PolicyBlock; p <= PolicyLatest; p++ {
		o := stepReading{policy: p, from: FromOldest(), ahead: 4 * stepRecordBytes}
		ops = append(ops, readerOp(p.String()+": attach, oldest", o, false, open))
		o.from = FromLatest()
		ops = append(ops,
			readerOp(p.String()+": attach, latest", o, false, open),
			readerOp(p.String()+": receive", o, true, (*stepConsumerChild).readAll))
		closes := o
		closes.closes = true
		ops = append(ops, readerOp(p.String()+": receive and close", closes, true, closing))
		if !o.gates() {
			o.ahead = 3 * stepLap
			some := receive(3)
			if p == PolicyLatest {
				some = receive(1)
			}
			ops = append(ops, readerOp(p.String()+": receive when overrun", o, true, func(c *stepConsumerChild) error {
				if err := some(c); err != nil {
					return err
				}
				c.r.c.tell()
				return nil
			}))
			continue
		}
		o.keep = true
		closes.keep = true
		again := o
		again.from, again.resume = FromResume(), true
		ops = append(ops,
			readerOp(p.String()+", cursor: attach", stepReading{policy: p, from: FromOldest(), keep: true, ahead: o.ahead}, false, open),
			readerOp(p.String()+", cursor: receive", o, true, receive(3)),
			readerOp(p.String()+", cursor: receive and close", closes, true, closing),
			readerOp(p.String()+", cursor: resume", again, false, open))
	}
	latest := stepReading{from: FromLatest(), ahead: 6 * stepRecordBytes}
	demoted, skips, spans := latest, latest, latest
	demoted.policy, demoted.demote, demoted.ahead = PolicyDemote, 1, 3*stepLap
	skips.policy, skips.keep = PolicySkip, true
	spans.policy, spans.keep, spans.spans = PolicyDemote, true, true
	sleeper := latest
	sleeper.policy, sleeper.ahead = PolicyBlock, 0
	return append(ops,
		readerOp("demote: receive when demoted and overrun", demoted, true, receive(3)),
		readerOp("skip, cursor: receive", skips, true, receive(3)),
		readerOp("block: sleep", sleeper, true, func(c *stepConsumerChild) error { c.r.c.sleepOnce(time.Millisecond); return nil }),
		readerOp("spans: release", spans, true, (*stepConsumerChild).pass),
		readerOp("spans: rewind", spans, true, (*stepConsumerChild).rewind))
}
