package shmring

import (
	"context"
	"runtime"
	"time"
)

// Waiting. A sleeper is woken only if it said that it sleeps, and no wake-up is
// lost:
//
//	reader                              producer
//	s = wake_seq                        commit word (release)
//	sleep++ (odd: asleep)               park_mask, sleep (loads)
//	membarrier                          odd and not woken yet:
//	commit word still absent?             wake_seq++, FUTEX_WAKE
//	  FUTEX_WAIT(wake_seq, s)
//
// The producer's commit is a release store, which the hardware may delay beyond
// its following loads. The reader's membarrier makes every producer pass a full
// fence: a producer that has not passed its loads before it sees sleep odd; one
// that has, has its commit visible to the reader's second look. Between that
// look and FUTEX_WAIT a wake changes wake_seq, and the kernel does not sleep.
// Where membarrier is missing, the reader's bit in fence_mask makes producers
// commit with a full fence.
//
// Every sleep also ends after sleepMax: that bounds how late a cancelled
// context or a removed ring is noticed, and costs an idle reader ten wake-ups a
// second.
const (
	sleepMax = 100 * time.Millisecond
	// sleepNoWake is how long to sleep while a producer that cannot wake
	// (no futex on its platform) is attached.
	sleepNoWake = time.Millisecond

	spinBurst      = 256 // looks between two checks for reasons to stop
	autoSpinRounds = 64  // bursts that auto spins before it yields
	autoYields     = 32  // yields before it parks
)

// pause is what a waiting loop does after a fruitless look in the given round.
type pause uint8

const (
	pauseNone pause = iota
	pauseYield
	pauseSleep
)

func (w WaitStrategy) pause(round int) pause {
	switch w {
	case WaitSpin:
		return pauseNone
	case WaitYield:
		return pauseYield
	case WaitPark:
		return pauseSleep
	}
	switch {
	case round < autoSpinRounds:
		return pauseNone
	case round < autoSpinRounds+autoYields:
		return pauseYield
	}
	return pauseSleep
}

// looks is how often a strategy looks before it pauses.
func (w WaitStrategy) looks() int {
	if w == WaitPark || w == WaitYield {
		return 1
	}
	return spinBurst
}

func yield() {
	runtime.Gosched()
	schedYield()
}

// ready says that poll would find something else than ErrEmpty.
func (c *consumer) ready() bool {
	if c.kindAt(load64(c.b, c.geometry.at(c.pos)), c.pos) != 0 {
		return true
	}
	return c.lappable() && c.lapped()
}

// await returns when there is a record or a reason to stop.
func (c *Consumer) await(ctx context.Context) error {
	for range c.wait.looks() {
		if c.ready() {
			return nil
		}
	}
	for round := 0; ; round++ {
		c.finish()
		c.tell() // a reader that waits holds nothing it has read
		for range c.wait.looks() {
			if c.ready() {
				return nil
			}
		}
		if err := c.alive(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		switch c.wait.pause(round) {
		case pauseYield:
			yield()
		case pauseSleep:
			c.sleepOnce(sleepMax)
		}
	}
}

// sleepOnce sleeps until a producer wakes this reader, at most limit.
func (c *consumer) sleepOnce(limit time.Duration) {
	s := load32(c.b, offWakeSeq)
	add32(c.page, cuSleep, 1)
	membarrier()
	if !c.ready() {
		if load32(c.b, offNoWake) != 0 {
			limit = sleepNoWake
		}
		futexWait(c.b, offWakeSeq, s, limit)
	}
	add32(c.page, cuSleep, 1)
}

// sleepers says which slots sleep and were not woken since they fell asleep,
// and notes them as woken.
func (p *producer) sleepers() (some bool) {
	mask := load64(p.b, offParkMask)
	for slot := 0; mask != 0 && slot < len(p.cursors); slot++ {
		if mask&(1<<slot) == 0 {
			continue
		}
		mask &^= 1 << slot
		if p.wasEvicted(slot) {
			continue
		}
		word := load32(p.cursors[slot], cuSleep)
		if word&1 == 1 && word != p.sleep[slot] {
			p.sleep[slot] = word
			some = true
		}
	}
	return some
}

// wakeSleepers wakes, after a commit, the readers that sleep.
func (p *producer) wakeSleepers() {
	if load64(p.b, offParkMask) != 0 && p.sleepers() {
		p.wakeAll()
	}
}

// wakeAll wakes every reader that sleeps on the ring.
func (r *ring) wakeAll() {
	add32(r.b, offWakeSeq, 1)
	futexWake(r.b, offWakeSeq)
}

// sleepOnGate sleeps until the reader in slot moves its gate, at most limit.
//
// The value it sleeps on is loaded first, the waiter is announced next, and then
// the gate must still be in the way: a reader that moved it before the
// announcement wakes nobody, and one that moves it later changes the word or
// sees the waiter (publish). The half word that is compared cannot come round:
// capacity is at most 2^31.
//
// Nobody wakes for a claim that completes: those who wait for one are few and
// rare, and look again soon.
func (p *producer) sleepOnGate(slot int, limit time.Duration) {
	if slot >= ConsumersMax {
		entry := producerEntry(slot - ConsumersMax)
		word := load64(p.b, entry+psIntent)
		if p.heldBy(slot) {
			futexWait(p.b, entry+psIntent, uint32(word), min(limit, sleepNoWake))
		}
		return
	}
	gate := load64(p.cursors[slot], cuGate)
	add32(p.b, offSpaceWaiters, 1)
	if p.heldBy(slot) {
		if load32(p.b, consumerEntry(slot)+csFlags)&slotNoFutex != 0 {
			limit = min(limit, sleepNoWake)
		}
		futexWait(p.cursors[slot], cuGate, uint32(gate), limit)
	}
	add32(p.b, offSpaceWaiters, ^uint32(0))
}
