package shmring

import (
	"context"
	"runtime/debug"
	"time"
)

// holds keeps, per consumer slot, how long the reader there has held this
// producer since it last was less than half a ring behind. Only the sum over
// several holds is a fair measure: a reader that is a little too slow holds the
// producer again and again, each time for a moment.
type holds struct {
	nanos   [ConsumersMax + 1]int64 // the last: by other producers' claims
	lent    [ConsumersMax]uint32    // generations that nanos is about
	evicted [ConsumersMax]uint32    // generations whose page faulted here
	seen    [ConsumersMax]uint32    // generations before their page was touched last
	slot    int                     // that holds now
	since   int64                   // monotonic ns of the running hold's last account, 0 = none
}

// account adds the time since the last call to the slot that held the producer
// then, notes who holds it now (slotNone: nobody), and returns what it added.
func (h *holds) account(slot int, now int64) (added int64) {
	if h.since != 0 {
		added = max(now-h.since, 0)
		h.nanos[min(h.slot, ConsumersMax)] += added
	}
	h.slot, h.since = slot, now
	if slot == slotNone {
		h.since = 0
	}
	return added
}

func (h *holds) caughtUp(slot int) { h.nanos[slot] = 0 }

// holdSlot notes who holds the producer at time now (monotonic ns), a reader's
// slot or holderOf a producer, and demotes a reader when its deadline has passed.
// It returns the ns until that deadline, or a negative number when there is none.
func (p *producer) holdSlot(slot int, now int64) (left int64) {
	p.release(slot, now)
	if slot >= ConsumersMax {
		return -1
	}
	entry := consumerEntry(slot)
	generation := load32(p.b, entry+csGeneration) // first, see demote
	if Policy(load32(p.b, entry+csPolicy)) != PolicyDemote {
		return -1
	}
	if p.held.lent[slot] != generation {
		p.held.lent[slot] = generation
		p.held.caughtUp(slot)
	}
	after := int64(min(load64(p.b, entry+csDemoteAfter), uint64(demoteAfterNanosMax)))
	if left = after - p.held.nanos[slot]; left > 0 {
		return left
	}
	p.demote(slot, generation)
	p.held.caughtUp(slot)
	return 0
}

// demoteAfterNanosMax bounds a deadline that is read from shared memory: a day.
const demoteAfterNanosMax = int64(24 * 3600 * 1e9)

// release ends the running hold (or passes it to another slot) and adds its
// time to the ring's held time.
func (p *producer) release(slot int, now int64) {
	if added := p.held.account(slot, now); added > 0 {
		p.heldNanos += uint64(added)
		p.count(psHeldNanos, uint64(added))
	}
}

// open opens a claim of n payload bytes, for one record or none. When a reader
// (or, with many producers, a claim that is a whole lap old) holds the producer it
// waits, if block is set, or returns ErrFull; the time counts against a demote
// reader either way.
func (p *Producer) open(ctx context.Context, n int, records uint64, block bool) error {
	for round := 0; ; round++ {
		slot, left, err := p.openNow(n, records)
		switch {
		case err == errCursorFault:
			continue // that reader is evicted now
		case err == errContended && !block:
			return ErrFull
		case err == errContended && ctx.Err() != nil:
			return context.Cause(ctx)
		case err == errContended:
			continue
		case err != nil:
			return err
		case slot == slotNone:
			return nil
		case left == 0:
			continue // demoted now
		case !block:
			return ErrFull
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := p.awaitGate(round, slot, left); err != nil && err != errCursorFault {
			return err
		}
	}
}

func (p *Producer) openNow(n int, records uint64) (slot int, left int64, err error) {
	defer p.m.catch(&err, debug.SetPanicOnFault(true))
	if err := p.admit(n); err != nil {
		return slotNone, 0, err
	}
	if slot, err = p.claim(uint64(n), records); err != nil {
		return slotNone, 0, err
	}
	if slot != slotNone {
		return slot, p.holdSlot(slot, p.now()), nil
	}
	if p.held.since != 0 {
		p.release(slotNone, p.now())
	}
	return slotNone, 0, nil
}

// awaitGate waits, as the strategy says, until the reader in slot has moved its
// gate or the claim is complete; left is how long that may take before it is demoted, or negative.
func (p *Producer) awaitGate(round, slot int, left int64) (err error) {
	defer p.m.catch(&err, debug.SetPanicOnFault(true))
	for range p.wait.looks() {
		if !p.heldBy(slot) {
			return nil
		}
	}
	switch p.wait.pause(round) {
	case pauseYield:
		yield()
	case pauseSleep:
		limit := sleepMax
		if left >= 0 {
			limit = min(limit, time.Duration(left))
		}
		p.sleepOnGate(slot, limit)
	}
	return nil
}

// now is monotonic, in nanoseconds, and never 0.
func (p *Producer) now() int64 { return int64(time.Since(p.clock)) + 1 }
