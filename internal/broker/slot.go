package broker

import (
	"errors"
	"math"

	"brokerd/internal/wire"
)

// slotFor chooses a slot, after burying whoever is dead in the ring if that
// makes room.
func (b *Broker) slotFor(r *ring, q AttachRequest) (slotRef, error) {
	choose := r.consumerSlot
	if q.In.Role == wire.RoleProducer {
		choose = r.producerSlot
	}
	ref, err := choose(q)
	if err == nil {
		return ref, nil
	}
	for _, a := range r.ordered() {
		if r.held[a.ref] == a && a.proc != nil && a.proc.handle.Exited() {
			b.bury(a.proc)
		}
	}
	if ref, err = choose(q); err == nil {
		return ref, nil
	}
	switch {
	case q.In.Role == wire.RoleConsumer:
		err = b.refuse(limitConsumers, err)
	case errors.Is(err, wire.ErrSlotsExhausted): // a second producer of one is no want of room
		err = b.refuse(limitProducers, err)
	}
	return ref, err
}

// producerSlot is the first that is free. Where there is but one, a zombie of the
// same process will do; among many it would not, for it may have a claim open
// that lending the slot again would wipe out.
func (r *ring) producerSlot(q AttachRequest) (slotRef, error) {
	most := r.slotsOf(wire.RoleProducer)
	for slot := range most {
		ref := slotRef{wire.RoleProducer, slot}
		if r.slots.get(ref).Generation == math.MaxUint32 { // used up
			continue
		}
		a := r.held[ref]
		if a == nil || most == 1 && a.hold == holdZombie && a.isOf(q.Process) {
			return ref, nil
		}
	}
	if a := r.held[slotRef{wire.RoleProducer, 0}]; most == 1 && a != nil {
		return slotRef{}, refuseProducer(r.info.Name, a)
	}
	return slotRef{}, refuseProducerSlots(r, most)
}

// consumerSlot prefers a zombie of the same process and user (the one with its
// token first of all), then a free slot that the user had before, then one that
// nobody had: a slot never passes from one user to another, whose process may
// still have its page mapped.
func (r *ring) consumerSlot(q AttachRequest) (slotRef, error) {
	const tokenFits, zombie, usedBefore, unused, none = 0, 1, 2, 3, 4
	best, at := none, slotRef{}
	for slot := range r.info.ConsumersMax {
		ref := slotRef{wire.RoleConsumer, slot}
		a, rec := r.held[ref], r.slots.get(ref)
		rank := none
		switch {
		case rec.Generation == math.MaxUint32: // used up
		case rec.Generation == 0:
			rank = unused
		case rec.UID != q.UID:
		case a == nil:
			rank = usedBefore
		case a.hold == holdZombie && a.isOf(q.Process):
			rank = zombie
			if q.In.Token != "" && a.record.Token == q.In.Token {
				rank = tokenFits
			}
		}
		if rank < best {
			best, at = rank, ref
		}
	}
	if best == none {
		return at, refuseSlots(r, q.UID)
	}
	return at, nil
}
