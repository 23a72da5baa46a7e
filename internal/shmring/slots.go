package shmring

import (
	"fmt"
	"runtime/debug"
)

// BindConsumer lends a consumer slot: the page is reset, then the slot table,
// then the masks. The reader does not gate until it says so itself, so a daemon
// that dies in the middle leaves nothing that holds a producer.
func (r *Ring) BindConsumer(slot int, b Binding) (err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	page, err := r.freshPage(slot)
	if err != nil {
		return err
	}
	end, err := r.end()
	if err != nil {
		return err
	}
	r.bindConsumer(slot, page, b)
	// Until the reader tells its own start it lags behind nothing.
	store64(page, cuPosition, end.pos)
	store64(page, cuSequence, end.seq)
	return nil
}

func (r *Ring) bindConsumer(slot int, page []byte, b Binding) {
	for off := uint64(cuPosition); off <= cuChecksum; off += 8 {
		store64(page, off, 0)
	}
	store64(page, cuCursor, 0)
	store64(page, cuGate, gateNone)
	r.lendSlot(slot, page, b)
}

// lendSlot fills in the slot's entry in the table, and then the masks.
func (r *Ring) lendSlot(slot int, page []byte, b Binding) {
	// Producers remember the sleep word they woke last, so it must not repeat.
	store32(page, cuSleep, (load32(page, cuSleep)+2)&^1)

	entry := consumerEntry(slot)
	flags := uint32(0)
	if b.NoFutex {
		flags |= slotNoFutex
	}
	r.own32(entry+csFlags, flags)
	r.own64(entry+csDemoteAfter, uint64(b.DemoteAfter))
	store64(r.b, entry+csDemoted, 0)
	r.own32(entry+csGeneration, b.Generation)
	r.own32(entry+csPolicy, uint32(b.Policy))
	r.setBit(offFenceMask, slot, b.NoMembarrier)
	r.setBit(offParkMask, slot, b.Parks && !b.NoFutex)
	r.setBit(offConsumerMask, slot, true)
}

// ResumeConsumer lends a slot to a reader that takes over the cursor which the
// slot's former reader left: gate and cursor stay as they are, so the hold of a
// gating reader does not lapse. One that was demoted meanwhile holds nobody until
// its successor says where it starts.
func (r *Ring) ResumeConsumer(slot int, b Binding) (err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	page, err := r.freshPage(slot)
	if err != nil {
		return err
	}
	entry := consumerEntry(slot)
	if load64(r.b, entry+csDemoted) == uint64(load32(r.b, entry+csGeneration)) {
		r.releaseGate(page)
	}
	r.lendSlot(slot, page, b)
	return nil
}

// ProducerBound says whether the ring honours the producer of a slot.
func (r *Ring) ProducerBound(slot int) (bound bool, err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	return r.ownMask(offProducerMask)&(1<<slot) != 0, nil
}

// freshPage is the cursor page of a slot, made whole again if its last holder
// truncated it, or made it longer.
func (r *Ring) freshPage(slot int) ([]byte, error) {
	page, err := r.page(slot)
	if err != nil {
		return nil, err
	}
	if _, err := trim(r.pages[slot], cursorPageBytes); err != nil {
		return nil, err
	}
	if err := reserve(r.pages[slot], cursorPageBytes); err != nil {
		return nil, err
	}
	return page, nil
}

// UnbindConsumer takes a slot back: it gates no more, and producers that wait
// for it are woken. It may be called again at any time.
//
// The slot table comes first: it alone ends the hold, also when the page cannot
// be had, because its reader truncated it and the tmpfs is full. A producer
// asleep on such a page finds out after sleepMax.
func (r *Ring) UnbindConsumer(slot int) (err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	if slot < 0 || slot >= len(r.m.cursors) {
		return fmt.Errorf("consumer slot %d: the ring has %d", slot, len(r.m.cursors))
	}
	r.unbindConsumer(slot)
	if page, err := r.freshPage(slot); err == nil {
		r.releaseGate(page)
	}
	return nil
}

func (r *Ring) unbindConsumer(slot int) {
	entry := consumerEntry(slot)
	r.own32(entry+csPolicy, 0)
	r.setBit(offConsumerMask, slot, false)
	r.setBit(offParkMask, slot, false)
	r.setBit(offFenceMask, slot, false)
	r.wakeAll() // the reader itself, should it sleep
}

func (r *Ring) releaseGate(page []byte) {
	store64(page, cuGate, gateNone)
	futexWake(page, cuGate)
}

// BindProducer lends a producer slot, which has no claim open: it is new, or was
// repaired.
func (r *Ring) BindProducer(slot int, b Binding) (err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	entry := producerEntry(slot)
	flags := uint32(0)
	if b.NoFutex {
		flags |= slotNoFutex
	}
	store32(r.b, entry+psFlags, flags)
	store32(r.b, entry+psGeneration, b.Generation)
	store64(r.b, entry+psIntent, intentNone)
	r.setBit(offLentMask, slot, true)
	r.setBit(offProducerMask, slot, true)
	r.noteNoWake()
	return nil
}

// UnbindProducer takes a producer slot back. The claim of one that lives on stays
// until Repair.
func (r *Ring) UnbindProducer(slot int) (err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	r.setBit(offProducerMask, slot, false)
	r.noteNoWake()
	if r.ownMask(offProducerMask) == 0 {
		store32(r.b, offSpaceWaiters, 0) // producers killed in their sleep leave their count
	}
	return nil
}

// noteNoWake tells sleepers whether a producer is attached that cannot wake them.
func (r *Ring) noteNoWake() {
	mask, noWake := r.ownMask(offProducerMask), uint32(0)
	for slot := range producersMaxFormat {
		if mask&(1<<slot) != 0 && load32(r.b, producerEntry(slot)+psFlags)&slotNoFutex != 0 {
			noWake++
		}
	}
	r.own32(offNoWake, noWake)
}

// SetState tells everybody attached that the ring is gone or bad, and wakes all
// who sleep so that they see it.
func (r *Ring) SetState(s State) (err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	r.own32(offState, uint32(s))
	r.wakeAll()
	mask := r.ownMask(offConsumerMask)
	for slot := range r.pages {
		if mask&(1<<slot) == 0 {
			continue
		}
		if page, err := r.page(slot); err == nil {
			futexWake(page, cuGate)
		}
	}
	return nil
}

// setBit sets or clears a bit of a mask that only the daemon writes.
func (r *Ring) setBit(off uint64, bit int, on bool) {
	mask := r.ownMask(off) &^ (1 << bit)
	if on {
		mask |= 1 << bit
	}
	r.own64(off, mask)
}
