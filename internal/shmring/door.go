package shmring

import (
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// DoorRingsMax is how many readers and mirrors a Door waits for: what futex_waitv
// takes (FUTEX_WAITV_MAX), less one for Knock.
const DoorRingsMax = PollerRingsMax - 1

// doorSleepMax bounds a Sleep, for those who say "for ever".
const doorSleepMax = time.Hour

// Door is how one goroutine sleeps for news of many rings while others use the
// readers and mirrors under the owner's lock:
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
	mirrors   []*Mirror
	noWake    bool // a producer is attached that cannot wake
	asleep    []*Consumer
	waiting   []*Mirror
	waiters   []futexWaiter
	word      []byte // futex of Knock
	heard     uint32 // its value as of the last Disarm
}

// NewDoor makes a Door that waits for nobody.
func NewDoor() (*Door, error) { return &Door{word: newWord()}, nil }

// Add adds a reader, which must have attached as one that parks. It stays the
// caller's, who removes it before its Close. The owner's lock is held, as for all
// but Sleep and Knock.
func (d *Door) Add(c *Consumer) error {
	if err := d.room(); err != nil {
		return err
	}
	d.consumers = append(d.consumers, c)
	d.Knock()
	return nil
}

func (d *Door) room() error {
	if len(d.consumers)+len(d.mirrors) == DoorRingsMax {
		return fmt.Errorf("a door waits for at most %d readers and mirrors", DoorRingsMax)
	}
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

// AddMirror adds a mirror: news is that the reader which limited its last Progress
// gives way. It is removed before its Close.
func (d *Door) AddMirror(m *Mirror) error {
	if err := d.room(); err != nil {
		return err
	}
	d.mirrors = append(d.mirrors, m)
	d.Knock()
	return nil
}

// RemoveMirror takes a mirror out.
func (d *Door) RemoveMirror(m *Mirror) {
	d.mirrors = slices.DeleteFunc(d.mirrors, func(o *Mirror) bool { return o == m })
	if i := slices.Index(d.waiting, m); i >= 0 {
		m.waitForGate(-1)
		d.waiting = slices.Delete(d.waiting, i, i+1)
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
	for _, m := range d.mirrors {
		slot, ok := m.limitedBy()
		if !ok {
			continue
		}
		m.waitForGate(1)
		d.waiting = append(d.waiting, m)
		waiter, news := m.gateWaiter(slot)
		if news {
			return false
		}
		d.waiters = append(d.waiters, waiter)
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
	for _, m := range d.waiting {
		m.waitForGate(-1)
	}
	d.asleep, d.waiting = d.asleep[:0], d.waiting[:0]
}

// Knock ends the present Sleep, or the next one. Anybody may call it at any time.
func (d *Door) Knock() {
	add32(d.word, 0, 1)
	futexWake(d.word, 0)
}

// Close ends the use of a door: nobody sleeps at it.
func (d *Door) Close() error {
	d.Disarm()
	d.consumers, d.mirrors = nil, nil
	return nil
}

// hasNews says whether NextSpan, or TryReceive, would say something.
func (c *Consumer) hasNews() (news bool) {
	var fault error
	defer func() { news = news || fault != nil }()
	defer c.m.catch(&fault, debug.SetPanicOnFault(true))
	return c.closed || c.ready() || c.alive() != nil
}

// limitedBy is the reader that kept the last grant below the window, if one did.
func (m *Mirror) limitedBy() (slot int, ok bool) {
	return m.binding, !m.closed && m.binding != slotNone
}

// waitForGate says that one more waits for a gate, or one less.
func (m *Mirror) waitForGate(delta int32) {
	var fault error // the next Progress sees it
	defer m.m.catch(&fault, debug.SetPanicOnFault(true))
	add32(m.b, offSpaceWaiters, uint32(delta))
}

// gateWaiter waits for the gate of slot to move; see sleepOnGate for the order.
// news: it has moved, or the reader is no hindrance any more.
func (m *Mirror) gateWaiter(slot int) (w futexWaiter, news bool) {
	var fault error
	defer func() { news = news || fault != nil }()
	defer m.m.catch(&fault, debug.SetPanicOnFault(true))
	gate := load64(m.cursors[slot], cuGate)
	lim, _ := m.bound(m.tail, m.tail+m.window+tailGuardBytes)
	w = newFutexWaiter(m.cursors[slot], cuGate, uint32(gate))
	return w, lim >= min(m.limit+m.window/8, m.tail+m.window+tailGuardBytes)
}
