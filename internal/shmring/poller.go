package shmring

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// PollerRingsMax is how many readers one Poller waits for: what futex_waitv takes
// (FUTEX_WAITV_MAX).
const PollerRingsMax = 128

// pollerSettleWaits: a reader with a reason to stop is noticed after at most so
// many Waits for each reader, however busy the others are.
const pollerSettleWaits = 64

// Poller waits for any of several readers in one goroutine, each of its own ring.
// It is used by one goroutine at a time, the one that uses its readers.
type Poller struct {
	consumers []*Consumer
	wait      WaitStrategy
	next      int // where the next look begins, so that no reader starves
	waits     int // calls of Wait
	waiters   []futexWaiter
}

// NewPoller makes a Poller that waits as wait says. Readers that are to be parked
// for must have attached with a strategy that parks.
func NewPoller(wait WaitStrategy) *Poller { return &Poller{wait: wait} }

// Add adds a reader, which stays the caller's.
func (p *Poller) Add(c *Consumer) error {
	if len(p.consumers) == PollerRingsMax {
		return fmt.Errorf("a poller waits for at most %d readers", PollerRingsMax)
	}
	p.consumers = append(p.consumers, c)
	return nil
}

// Remove takes a reader out.
func (p *Poller) Remove(c *Consumer) {
	p.consumers = slices.DeleteFunc(p.consumers, func(o *Consumer) bool { return o == c })
}

// Len is the number of readers.
func (p *Poller) Len() int { return len(p.consumers) }

// Wait returns a reader that has something to say, a record or a reason to stop;
// its TryReceive says what, or ErrEmpty where what looked like news was none. When
// several have, they take turns. Errors: ctx's cause, and ErrEmpty at once when
// there is no reader.
func (p *Poller) Wait(ctx context.Context) (*Consumer, error) {
	if len(p.consumers) == 0 {
		return nil, ErrEmpty
	}
	if p.waits++; p.waits%pollerSettleWaits == 0 {
		if c := p.consumers[p.waits/pollerSettleWaits%len(p.consumers)]; c.settle() {
			return c, nil
		}
	}
	for round := 0; ; round++ {
		for range p.wait.looks() {
			if c := p.look((*Consumer).glance); c != nil {
				return c, nil
			}
		}
		if c := p.look((*Consumer).settle); c != nil {
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		switch p.wait.pause(round) {
		case pauseYield:
			yield()
		case pauseSleep:
			if c := p.sleep(sleepMax); c != nil {
				return c, nil
			}
		}
	}
}

// look asks each reader in turn and returns the first that says yes.
func (p *Poller) look(ask func(*Consumer) bool) *Consumer {
	for range p.consumers {
		c := p.consumers[p.next%len(p.consumers)]
		p.next = (p.next + 1) % len(p.consumers)
		if ask(c) {
			return c
		}
	}
	return nil
}

// glance says whether the reader's TryReceive has something to say.
func (c *Consumer) glance() (news bool) {
	var fault error
	defer func() { news = news || fault != nil }()
	defer c.m.catch(&fault, debug.SetPanicOnFault(true))
	if c.closed {
		return true
	}
	c.finish()
	return c.ready()
}

// settle gives back what was read, and says whether the reader must stop.
func (c *Consumer) settle() (news bool) {
	var fault error
	defer func() { news = news || fault != nil }()
	defer c.m.catch(&fault, debug.SetPanicOnFault(true))
	if c.closed {
		return true
	}
	c.tell()
	return c.alive() != nil
}

// sleep is sleepOnce for all readers at a time: each says that it sleeps, and is
// looked at again after one membarrier. It returns a reader that has news already.
func (p *Poller) sleep(limit time.Duration) *Consumer {
	p.waiters = p.waiters[:0]
	defer func() {
		for _, c := range p.consumers[:len(p.waiters)] {
			c.nod()
		}
	}()
	for _, c := range p.consumers {
		waiter, noWake, ok := c.lieDown()
		if !ok {
			return c
		}
		p.waiters = append(p.waiters, waiter)
		if noWake {
			limit = min(limit, sleepNoWake)
		}
	}
	membarrier()
	if c := p.look((*Consumer).glance); c != nil {
		return c
	}
	futexWaitAny(p.waiters, limit)
	return nil
}

// lieDown says that the reader sleeps. ok is false when its memory is gone.
func (c *Consumer) lieDown() (w futexWaiter, noWake, ok bool) {
	var fault error
	defer func() { ok = fault == nil }()
	defer c.m.catch(&fault, debug.SetPanicOnFault(true))
	w = newFutexWaiter(c.b, offWakeSeq, load32(c.b, offWakeSeq))
	noWake = load32(c.b, offNoWake) != 0
	c.nod()
	return w, noWake, true
}

// nod makes the sleep word odd or even again.
func (c *Consumer) nod() {
	var fault error // the next look sees it, too
	defer c.m.catch(&fault, debug.SetPanicOnFault(true))
	add32(c.page, cuSleep, 1)
}
