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
	end, err := r.newest()
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
	for off := uint64(cuPosition); off <= cuDelivered; off += 8 {
		store64(page, off, 0)
	}
	store64(page, cuGate, gateNone)
	// Producers remember the sleep word they woke last, so it must not repeat.
	store32(page, cuSleep, (load32(page, cuSleep)+2)&^1)

	entry := consumerEntry(slot)
	flags := uint32(0)
	if b.NoFutex {
		flags |= slotNoFutex
	}
	store32(r.b, entry+csFlags, flags)
	store64(r.b, entry+csDemoteAfter, uint64(b.DemoteAfter))
	store64(r.b, entry+csDemoted, 0)
	store32(r.b, entry+csGeneration, b.Generation)
	store32(r.b, entry+csPolicy, uint32(b.Policy))
	r.setBit(offFenceMask, slot, b.NoMembarrier)
	r.setBit(offParkMask, slot, b.Parks && !b.NoFutex)
	r.setBit(offConsumerMask, slot, true)
}

// freshPage is the cursor page of a slot, made whole again if its last holder
// truncated it.
func (r *Ring) freshPage(slot int) ([]byte, error) {
	page, err := r.page(slot)
	if err != nil {
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
	store32(r.b, entry+csPolicy, 0)
	r.setBit(offConsumerMask, slot, false)
	r.setBit(offParkMask, slot, false)
	r.setBit(offFenceMask, slot, false)
	r.wakeAll() // the reader itself, should it sleep
}

func (r *Ring) releaseGate(page []byte) {
	store64(page, cuGate, gateNone)
	futexWake(page, cuGate)
}

// BindProducer lends a producer slot.
func (r *Ring) BindProducer(slot int, b Binding) (err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	store32(r.b, producerEntry(slot)+psGeneration, b.Generation)
	if b.NoFutex {
		store32(r.b, offNoWake, 1)
	}
	r.setBit(offProducerMask, slot, true)
	return nil
}

// UnbindProducer takes a producer slot back.
func (r *Ring) UnbindProducer(slot int) (err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	r.setBit(offProducerMask, slot, false)
	store32(r.b, offNoWake, 0)
	store32(r.b, offSpaceWaiters, 0) // a producer killed in its sleep leaves its count
	return nil
}

// Repair is called once the process of a producer slot has exited and before
// the slot is lent again; it may be called any number of times. The claim of a
// dead single producer was never visible, and its successor goes on behind the
// newest record: there is nothing to turn into a gap, so what is left is to
// check that the ring is sound. It returns the number of records in the gaps it
// made. Errors: ErrCorrupt, ErrFault.
func (r *Ring) Repair(slot int) (gapRecords int, err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	_, err = r.newest()
	return 0, err
}

// SetState tells everybody attached that the ring is gone or bad, and wakes all
// who sleep so that they see it.
func (r *Ring) SetState(s State) (err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	store32(r.b, offState, uint32(s))
	r.wakeAll()
	mask := load64(r.b, offConsumerMask)
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
	mask := load64(r.b, off) &^ (1 << bit)
	if on {
		mask |= 1 << bit
	}
	store64(r.b, off, mask)
}
