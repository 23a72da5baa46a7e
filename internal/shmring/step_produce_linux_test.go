//go:build ringstep

package shmring

import (
	"context"
	"errors"
	"fmt"
	"time"

	"brokerd/internal/stepping"
)

func stepConfig(many bool) Config {
	c := testConfig(CapacityBytesMin)
	c.Many, c.Checksum = many, true
	return c
}

// stepProducer is a producer in the process that is stopped.
type stepProducer struct {
	*stepChild
	w stepWriter
}

func (c *stepProducer) open() (err error) {
	c.w.who = stepVictimID
	c.w.p, err = stepOpenProducer(c.ring, 0, 2)
	if err == nil {
		c.w.p.onFull = OnFullBlock
		c.w.p.SetTag(7)
	}
	return err
}

func (c *stepProducer) openAnd(n int) error {
	if err := c.open(); err != nil {
		return err
	}
	return c.publish(n)
}

func (c *stepProducer) reserve(n int) error {
	_, err := c.w.p.Reserve(context.Background(), n)
	return err
}

func (c *stepProducer) fill() {
	p := c.w.p
	copyIn(p.b, p.body(), stepPayload(c.w.who, c.w.sent+1, int(p.payload)))
}

func (c *stepProducer) commit() error {
	c.fill()
	err := c.w.p.Commit()
	if err == nil {
		c.w.sent++
	}
	return err
}

func (c *stepProducer) publish(n int) error {
	if err := c.reserve(n); err != nil {
		return err
	}
	return c.commit()
}

// approach publishes until room bytes are left before the ring's end.
func (c *stepProducer) approach(room uint64) error {
	p := c.w.p
	for {
		left := p.capacity - p.tail&p.mask - room
		if left <= 2200 {
			return c.publish(int(left - p.bodyOff - p.tailBytes))
		}
		if err := c.publish(stepRecordBytes); err != nil {
			return err
		}
	}
}

func (c *stepProducer) batch() error {
	var records [][]byte
	for i := range uint64(2) {
		records = append(records, stepPayload(c.w.who, c.w.sent+1+i, 2000))
	}
	n, err := c.w.p.SendBatch(context.Background(), records)
	c.w.sent += uint64(n)
	return err
}

// untilHeld publishes until somebody holds the producer.
func (c *stepProducer) untilHeld() error {
	for {
		if err := c.w.send(stepRecordBytes); err == ErrFull {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// held: it is held, counts that, drops a record, and sleeps.
func (c *stepProducer) held() error {
	p := c.w.p
	p.onFull = OnFullDrop
	for range 2 {
		if err := c.w.send(stepRecordBytes); err != nil && err != ErrFull {
			return err
		}
	}
	published := p.Stats().Records
	if err := p.Send(context.Background(), stepPayload(c.w.who, c.w.sent+1, stepRecordBytes)); err != nil {
		return err
	}
	c.w.sent += p.Stats().Records - published
	p.sleepOnGate(stepBlockSlot, time.Millisecond)
	return nil
}

// leave is what comes after the operation: the producer goes on, unless it was detached.
func (c *stepProducer) leave([]uint64) ([]uint64, error) {
	p := c.w.p
	var err error
	switch {
	case p == nil || p.closed:
	case p.frame > 0:
		err = c.commit()
		fallthrough
	default:
		again := c.publish(100)
		if c.Mode == stepping.Evict && errors.Is(again, ErrDetached) {
			again = nil
		}
		err = errors.Join(err, again, p.Close())
	}
	return []uint64{c.w.sent}, err
}

// producerOp makes an operation of a producer of what comes before and itself, each
// with records how many it publishes.
func producerOp(name string, part producing, before, run func(c *stepProducer) error) stepping.Op {
	return stepping.Op{
		Name:  map[bool]string{false: "one: ", true: "many: "}[part.many] + name,
		Evict: true,
		Part:  func() stepping.Part { p := part; return &p },
		Child: stepIn(func(child *stepChild) (func() error, error) {
			c := &stepProducer{stepChild: child}
			if before != nil {
				if err := c.open(); err != nil {
					return nil, err
				}
				if err := before(c); err != nil {
					return nil, err
				}
			}
			c.Said, c.After = []uint64{c.w.sent}, c.leave
			return func() error { return run(c) }, nil
		}),
	}
}

func stepsOfProducers(many bool) []stepping.Op {
	one, none := producing{many: many, pending: 1}, producing{many: many}
	abort := producing{many: many, twice: 1}
	aChunk := func(c *stepProducer) error { return c.publish(stepBigBytes) }
	alone := one
	alone.alone = true
	reserved := func(c *stepProducer) error {
		if err := aChunk(c); err != nil {
			return err
		}
		return c.reserve(stepBigBytes)
	}
	atEnd := func(c *stepProducer) error { return c.approach(160) }
	commit := (*stepProducer).commit
	aborts := func(c *stepProducer) error {
		if err := c.reserve(stepBigBytes); err != nil {
			return err
		}
		c.fill()
		return c.w.p.Abort()
	}
	return []stepping.Op{
		producerOp("attach, first record", one, nil, func(c *stepProducer) error { return c.openAnd(100) }),
		producerOp("reserve, limit raised", none, aChunk, func(c *stepProducer) error { return c.reserve(stepBigBytes) }),
		producerOp("fill and commit", one, reserved, commit),
		producerOp("reserve, commit with a pad", one, atEnd, func(c *stepProducer) error { return c.publish(stepBigBytes) }),
		producerOp("the same, nobody gates", alone, atEnd, func(c *stepProducer) error { return c.publish(stepBigBytes) }),
		producerOp("end record", none, aChunk, func(c *stepProducer) error { return c.w.p.End(context.Background()) }),
		producerOp("fill and abort", abort, aChunk, aborts),
		producerOp("fill and abort with a pad", abort, atEnd, aborts),
		producerOp("fill and close", abort, reserved, func(c *stepProducer) error { c.fill(); return c.w.p.Close() }),
		producerOp("batch", producing{many: many, pending: 2}, aChunk, (*stepProducer).batch),
		producerOp("held: counts, drops, sleeps", producing{many: many, full: true}, (*stepProducer).untilHeld, (*stepProducer).held),
		producerOp("demotes a reader", producing{many: many, pending: 1, slow: true}, (*stepProducer).untilHeld, func(c *stepProducer) error {
			return c.untilSent(c.w.sent + 1)
		}),
	}
}

// untilSent tries until the record is out.
func (c *stepProducer) untilSent(record uint64) error {
	for range stepTriesMax {
		if err := c.w.send(stepRecordBytes); err != nil && err != ErrFull {
			return err
		}
		if c.w.sent >= record {
			return nil
		}
	}
	return fmt.Errorf("held after %d tries", stepTriesMax)
}

// stepsOfRepair: a claim with a pad dies at each of its stores (the round), and then
// the daemon that repairs it.
func stepsOfRepair() []stepping.Op {
	return []stepping.Op{{
		Name:   "many: repair of a claim that died at each store",
		Rounds: true,
		Part:   func() stepping.Part { return &producing{many: true, pending: 1, twice: 1, cut: true} },
		Child: stepIn(func(child *stepChild) (func() error, error) {
			c := &stepProducer{stepChild: child}
			if err := c.open(); err != nil {
				return nil, err
			}
			if err := c.approach(160); err != nil {
				return nil, err
			}
			c.Said = []uint64{c.w.sent}
			taken, err := cutAt(c.Round, func() error { return c.publish(stepBigBytes) })
			c.Last = taken+1 == c.Round
			return func() error { _, err := c.ring.Repair(0); return err }, err
		}),
	}}
}

// cutAt runs fn up to its store number k, as a death there would leave memory.
func cutAt(k uint64, fn func() error) (taken uint64, err error) {
	defer func() {
		if r := recover(); r != nil {
			if _, cut := r.(stepCut); !cut {
				panic(r)
			}
			taken = steps.taken
		}
	}()
	ArmSteps(k, 0)
	err = fn()
	return DisarmSteps(), errors.Join(err, errors.New("it was not cut"))
}
