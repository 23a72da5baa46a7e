package broker

import (
	"fmt"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// attachNew takes a slot, or the one of the cursor that is resumed: files first,
// which change nothing, then the slot table, then the ring.
func (b *Broker) attachNew(r *ring, q AttachRequest, cursor *attachment) (Lease, error) {
	ref, old, err := b.place(r, q, cursor)
	if err != nil {
		return Lease{}, err
	}
	p, err := b.holdProc(q.Process.ID(), q.Process.Dup)
	if err != nil {
		return Lease{}, fmt.Errorf("attach to ring %s: %w", r.info.Name, err)
	}
	defer b.releaseProc(p) // does nothing once p holds something
	files, index, err := r.lend(ref)
	if err != nil {
		return Lease{}, b.lendFailed(r, err)
	}
	a := &attachment{ring: r, ref: ref, proc: p, conn: q.Conn, record: b.newRecord(r, ref, q)}
	a.id = attachmentID(r.info.Name, ref, a.record.Generation)
	kind := EventAttached
	if cursor == nil {
		err = b.bind(a, q.In, old != nil)
	} else {
		kind, a.record.Resumed = EventResumed, true
		err = b.rebind(a, q.In, cursor)
	}
	if err != nil {
		closeFiles(files)
		return Lease{}, fmt.Errorf("attach to ring %s: %w", r.info.Name, err)
	}
	b.enter(a) // first, so that leaving the old one does not let go of the process
	if old != nil {
		b.leave(old)
	}
	b.raise(Event{Kind: kind, Ring: r.info.Name, ID: a.id, Detail: a.record.Name})
	return b.lease(a, files, index, cursor != nil), nil
}

// place finds a slot for a request, and what the new attachment takes the place
// of: the cursor, a zombie of the same process, or nothing, which is one
// attachment more.
func (b *Broker) place(r *ring, q AttachRequest, cursor *attachment) (ref slotRef, old *attachment, err error) {
	if cursor != nil {
		return cursor.ref, cursor, nil
	}
	if ref, err = b.slotFor(r, q); err != nil {
		return slotRef{}, nil, err
	}
	if old = r.held[ref]; old == nil {
		err = b.admitAttachment(q.UID)
	}
	return ref, old, err
}

func (b *Broker) newRecord(r *ring, ref slotRef, q AttachRequest) slotRecord {
	id := q.Process.ID()
	rec := slotRecord{
		State:      slotAttached,
		Generation: r.slots.get(ref).Generation + 1,
		UID:        q.UID,
		PID:        id.PID,
		Start:      id.Start,
		Name:       q.In.Name,
		Token:      q.In.Token,
		Wait:       q.In.WaitStrategy,
		SinceNanos: b.now().UnixNano(),
		Own:        q.Conn == GatewayConn,
	}
	if ref.role == wire.RoleConsumer {
		rec.Keeps = q.In.Name != "" && r.info.ResumeForNS > 0
		rec.Policy = q.In.Policy
		if rec.Policy == "" {
			rec.Policy = r.info.Policy
		}
	}
	return rec
}

// bind puts the slot on record as offered, binds it, and then records it as
// attached. So whatever the ring honours is on record, and a daemon that dies in
// between, before the process was told, leaves a slot that is unbound and free again;
// or a zombie, if it was one, since then the process has the pages of before. When
// the ring refuses, the slot is as it was.
func (b *Broker) bind(a *attachment, in wire.AttachIn, zombieBefore bool) error {
	pending := a.record
	if pending.State = slotOffered; zombieBefore {
		pending.State = slotZombie
	}
	err := a.ring.slots.put(a.ref, pending)
	if err == nil {
		err = a.ring.bind(a.ref, a.record, in)
	}
	if err == nil {
		err = a.ring.slots.put(a.ref, a.record)
	}
	if err == nil {
		return nil
	}
	b.failed(a, "undo a binding", b.unbind(a))
	if a.record = pending; !zombieBefore {
		a.record = pending.freed()
	}
	b.record(a)
	return b.judge(a.ring, err)
}

// rebind hands a cursor over to a. The record stays that of the cursor, with the
// new generation, until the ring knows its new reader: so a daemon that dies in
// between, before the process was told, leaves a cursor. When the ring refuses,
// it is one still.
func (b *Broker) rebind(a *attachment, in wire.AttachIn, cursor *attachment) error {
	cursor.record.Generation = a.record.Generation
	err := a.ring.slots.put(a.ref, cursor.record)
	if err == nil {
		err = a.ring.bind(a.ref, a.record, in)
	}
	if err == nil {
		err = a.ring.slots.put(a.ref, a.record)
	}
	if err == nil {
		return nil
	}
	return b.judge(a.ring, err)
}

func (r *ring) bind(ref slotRef, rec slotRecord, in wire.AttachIn) error {
	binding := shmring.Binding{
		Generation:   rec.Generation,
		DemoteAfter:  time.Duration(r.info.DemoteAfterNS),
		Parks:        rec.Wait != wire.WaitSpin && rec.Wait != wire.WaitYield,
		NoFutex:      in.NoFutex,
		NoMembarrier: in.NoMembarrier,
	}
	if ref.role == wire.RoleProducer {
		return r.mem.BindProducer(ref.slot, binding)
	}
	policy, err := shmring.ParsePolicy(string(rec.Policy))
	if err != nil {
		return err
	}
	binding.Policy = policy
	if rec.Resumed {
		return r.mem.ResumeConsumer(ref.slot, binding)
	}
	return r.mem.BindConsumer(ref.slot, binding)
}
