package broker

import (
	"errors"
	"fmt"
	"time"

	"brokerd/internal/process"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// errState is what a ring says of itself that no daemon left behind so.
var errState = errors.New("ring is not live")

// restore looks at the ring itself, and then at each slot on record.
func (b *Broker) restore(r *ring) error {
	stats, err := r.mem.Stats()
	if err != nil {
		return err
	}
	if stats.State != shmring.StateLive {
		return fmt.Errorf("%w: its state word says %s", errState, stats.State)
	}
	r.last = stats
	if err := r.settle(); err != nil {
		return err
	}
	for i, rec := range r.slots.records {
		if rec.State == slotFree || rec.Generation == 0 {
			continue
		}
		ref := refOf(i)
		if most := r.slotsOf(ref.role); ref.slot >= most {
			return fmt.Errorf("%w: %s slot %d of %d", errSlots, ref.role, ref.slot, most)
		}
		if err := b.restoreSlot(r, ref, rec); err != nil {
			return err
		}
	}
	b.shorten(r)
	b.expire(r)
	return nil
}

func (r *ring) slotsOf(role wire.Role) int {
	if role == wire.RoleProducer {
		return geometry(r.info).ProducersMax()
	}
	return r.info.ConsumersMax
}

// restoreSlot keeps what a living process holds, untouched: its gate goes on
// holding the producer, and it comes back with its token or dies. A slot that
// the ring does not honour (the last daemon died between unbinding it and
// striking it off) is a zombie, one whose process was not told yet is free; what a dead process held is taken back, or
// becomes a cursor, as it would have with a daemon watching.
func (b *Broker) restoreSlot(r *ring, ref slotRef, rec slotRecord) error {
	a := &attachment{ring: r, ref: ref, record: rec, hold: holdKept}
	a.id = attachmentID(r.info.Name, ref, rec.Generation)
	if rec.UntilNanos != 0 {
		a.until = time.Unix(0, rec.UntilNanos)
	}
	honoured, err := r.honours(a)
	if err != nil {
		return err
	}
	switch rec.State {
	case slotResumable:
		return b.restoreCursor(a, honoured)
	case slotOffered:
		b.enter(a)
		return b.free(a, Event{Kind: EventEnded, Detail: "its process was never told of it"})
	}
	p, err := b.findProc(rec)
	if err != nil { // to take the living for dead would free memory they write to
		return fmt.Errorf("cannot tell whether pid %d of %s lives: %w", rec.PID, a.id, err)
	}
	a.proc = p
	b.enter(a)
	kept := rec.State == slotAttached && honoured
	switch {
	case p == nil:
		b.repair(a, true)
		e := Event{Kind: EventDied, Detail: "while no daemon ran"}
		if kept {
			return b.finish(a, e)
		}
		return b.free(a, e)
	case !kept:
		return b.toZombie(a)
	case ref.role == wire.RoleConsumer:
		b.lookAtReader(a)
	}
	return nil
}

// findProc finds the process of a slot on record, nil when it is gone. What a
// daemon held itself is gone with it, whoever has its pid now: the lock on the
// directory has passed on.
func (b *Broker) findProc(rec slotRecord) (*proc, error) {
	if rec.Own {
		return nil, nil
	}
	id := process.ID{PID: rec.PID, Start: rec.Start}
	p, err := b.holdProc(id, func() (*process.Handle, error) { return process.OpenID(id) })
	if errors.Is(err, process.ErrGone) {
		return nil, nil
	}
	return p, err
}

// restoreCursor takes over a cursor that an earlier daemon kept.
func (b *Broker) restoreCursor(a *attachment, honoured bool) error {
	a.hold = holdResumable
	b.enter(a)
	if !honoured {
		return b.free(a, Event{Kind: EventExpired, Detail: "the ring has lost it"})
	}
	b.lookAtReader(a)
	return nil
}

// honours asks the ring whether a slot is bound to that attachment. A producer's
// is bound to the one on record or to none; a cursor's may not know its latest
// generation yet (rebind). A reader that truncated its page is not honoured.
func (r *ring) honours(a *attachment) (bool, error) {
	if a.ref.role == wire.RoleProducer {
		return r.mem.ProducerBound(a.ref.slot)
	}
	stats, err := r.mem.ConsumerStats(a.ref.slot)
	if isReaderFault(err) {
		return false, nil // restore has found the ring itself sound
	}
	known := stats.Generation == a.record.Generation ||
		a.record.State == slotResumable && stats.Generation+1 == a.record.Generation
	return stats.Policy != 0 && known, err
}
