package shmring

import (
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// DoorRingsMax is how many readers a Door waits for: what futex_waitv
// takes (FUTEX_WAITV_MAX), less one for Knock.
const DoorRingsMax = PollerRingsMax - 1

// doorSleepMax bounds a Sleep, for those who say "for ever".
const doorSleepMax = time.Hour

// Door is how one goroutine sleeps for news of many rings while others use the
// readers under the owner's lock:
//
//	lock; work
//	for !done {
//		idle := d.Arm()
//		unlock
//		if idle { d.Sleep(limit) }
//		lock
//		d.Disarm()
//		work
//	}
//
// It loses no wake-up: Arm says of each reader that it sleeps, and looks once more
// (wait.go); what comes between Arm and Sleep changes a word that Sleep waits on.
// Who adds or removes a reader meanwhile knocks, so a Sleep waits for what there is,
// and no word is waited on after its memory may be gone: the kernel looks at the
// knocked word in the same call, and an address without memory only ends the call.
type Door struct {
	consumers []*Consumer
	noWake    bool // a producer is attached that cannot wake
	asleep    []*Consumer
	waiters   []futexWaiter
	word      []byte // futex of Knock
	heard     uint32 // its value as of the last Disarm
}

// NewDoor makes a Door that waits for nobody. It holds nothing that must be closed.
func NewDoor() *Door { return &Door{word: newWord()} }

// Add adds a reader, which must have attached as one that parks. It stays the
// caller's, who removes it before its Close. The owner's lock is held, as for all
// but Sleep and Knock.
func (d *Door) Add(c *Consumer) error {
	if len(d.consumers) == DoorRingsMax {
		return fmt.Errorf("a door waits for at most %d readers", DoorRingsMax)
	}
	d.consumers = append(d.consumers, c)
	d.Knock()
	return nil
}

// Remove takes a reader out.
func (d *Door) Remove(c *Consumer) {
	d.consumers = slices.DeleteFunc(d.consumers, func(o *Consumer) bool { return o == c })
	if i := slices.Index(d.asleep, c); i >= 0 {
		c.nod()
		d.asleep = slices.Delete(d.asleep, i, i+1)
	}
	d.Knock()
}

// Arm prepares a Sleep. false: somebody has news already, do not sleep. Disarm
// follows in both cases, before the next Arm.
func (d *Door) Arm() bool {
	d.noWake = false
	d.waiters = append(d.waiters[:0], newFutexWaiter(d.word, 0, d.heard))
	for _, c := range d.consumers {
		waiter, noWake, ok := c.lieDown()
		if !ok {
			return false
		}
		d.asleep = append(d.asleep, c)
		d.waiters = append(d.waiters, waiter)
		d.noWake = d.noWake || noWake
	}
	membarrier()
	for _, c := range d.consumers {
		if c.hasNews() {
			return false
		}
	}
	return true
}

// Sleep waits until somebody has news, is stopped, or knocks, or limit has passed.
// The owner's lock is not held.
func (d *Door) Sleep(limit time.Duration) {
	if d.noWake {
		limit = min(limit, sleepNoWake)
	}
	futexWaitAny(d.waiters, min(max(limit, 0), doorSleepMax))
}

// Disarm ends what Arm began.
func (d *Door) Disarm() {
	d.heard = load32(d.word, 0)
	for _, c := range d.asleep {
		c.nod()
	}
	d.asleep = d.asleep[:0]
}

// Knock ends the present Sleep, or the next one. Anybody may call it at any time.
func (d *Door) Knock() {
	add32(d.word, 0, 1)
	futexWake(d.word, 0)
}

// hasNews says whether NextSpan, or TryReceive, would say something.
func (c *Consumer) hasNews() (news bool) {
	var fault error
	defer func() { news = news || fault != nil }()
	defer c.m.catch(&fault, debug.SetPanicOnFault(true))
	return c.closed || c.ready() || c.alive() != nil
}
