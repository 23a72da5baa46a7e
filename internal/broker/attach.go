package broker

import (
	"fmt"
	"os"
	"time"

	"brokerd/internal/process"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// AttachRequest is what Attach needs to know.
type AttachRequest struct {
	Conn    uint64          // the connection that is to hold the attachment, not 0
	Process *process.Handle // of the peer; borrowed for the call
	UID     uint32          // of the peer
	In      wire.AttachIn

	// Authorize decides by the ring, before anything changes. It is called under
	// the broker's lock and must not call it.
	Authorize func(ring wire.Ring) error
}

// Lease is what a process gets. Files are the caller's to send and then close;
// Out.Files holds indexes into them.
type Lease struct {
	Out   wire.AttachOut
	Files []*os.File
}

// Attach lends a ring to a process. A consumer that asks for no policy gets the
// ring's. The same process, asking with the token of an attachment that it
// holds or that was kept for it, gets that one again, as it is: nothing in the
// ring changes, so neither policy nor wait strategy can be changed that way.
// Refusals are *wire.Error.
func (b *Broker) Attach(q AttachRequest) (Lease, error) {
	if err := checkAttach(q.In); err != nil {
		return Lease{}, err
	}
	b.mu.Lock()
	defer b.unlock()
	r, err := b.ringNamed(q.In.Ring)
	if err != nil {
		return Lease{}, err
	}
	if r.retired != nil {
		return Lease{}, refuseCorrupt(r.info.Name, r.retired)
	}
	if q.In.Epoch != nil && *q.In.Epoch != r.info.Epoch {
		return Lease{}, refuseEpoch(r.info.Name, *q.In.Epoch, r.info.Epoch)
	}
	if err := q.Authorize(r.describe()); err != nil {
		return Lease{}, err
	}
	if a := r.again(q); a != nil && a.hold != holdZombie {
		return b.reattach(a, q)
	}
	return b.attachNew(r, q)
}

// checkAttach looks at the request alone.
func checkAttach(in wire.AttachIn) error {
	switch {
	case !in.Role.Valid():
		return wire.InvalidParameter("role", "role is %s: expected producer or consumer", quoted(string(in.Role)))
	case in.Name != "" && !wire.ValidLabel(in.Name):
		return wire.InvalidParameter("name", "name is %s: expected 1 to %d of [a-zA-Z0-9._-]", quoted(in.Name), wire.NameBytesMax)
	case in.Token != "" && !wire.ValidLabel(in.Token):
		return wire.InvalidParameter("token", "token is %s: expected 1 to %d of [a-zA-Z0-9._-]", quoted(in.Token), wire.NameBytesMax)
	case in.WaitStrategy != "" && !in.WaitStrategy.Valid():
		return wire.InvalidParameter("wait_strategy", "wait_strategy is %s: expected spin, yield, park or auto", quoted(string(in.WaitStrategy)))
	case in.Role == wire.RoleProducer && in.Policy != "":
		return wire.InvalidParameter("policy", "policy is %s: a producer has none, it is the consumers' choice", quoted(string(in.Policy)))
	case in.Policy != "" && !in.Policy.Valid():
		return wire.InvalidParameter("policy", "policy is %s: expected block, demote, skip or latest", quoted(string(in.Policy)))
	case in.Policy == wire.PolicyLatest:
		return refuseNotYet(in.Ring, "policy: latest", "policy skip")
	}
	return nil
}

// again finds the attachment that a request's token names, nil without one.
func (r *ring) again(q AttachRequest) *attachment {
	if q.In.Token == "" {
		return nil
	}
	for _, a := range r.held {
		if a.ref.role == q.In.Role && a.record.Token == q.In.Token && a.record.UID == q.UID && a.proc.id == q.Process.ID() {
			return a
		}
	}
	return nil
}

// reattach hands an attachment over to a new connection. The old one may not
// have been noticed to be gone yet; when it is, it finds nothing of its own.
func (b *Broker) reattach(a *attachment, q AttachRequest) (Lease, error) {
	files, index, err := a.ring.lend(a.ref)
	if err != nil {
		return Lease{}, b.lendFailed(a.ring, err)
	}
	a.hold, a.conn = holdAttached, q.Conn
	b.raise(Event{Kind: EventReattached, Ring: a.ring.info.Name, ID: a.id, Detail: a.record.Name})
	return Lease{Out: wire.AttachOut{Attachment: b.measureOne(a), Ring: a.ring.describe(), Files: index}, Files: files}, nil
}

// attachNew takes a slot: files first, which change nothing, then the slot
// table, then the ring.
func (b *Broker) attachNew(r *ring, q AttachRequest) (Lease, error) {
	ref, err := b.slotFor(r, q)
	if err != nil {
		return Lease{}, err
	}
	old := r.held[ref] // a zombie of the same process, or nil
	if n := len(b.attachments); old == nil && n >= b.limits.Attachments {
		return Lease{}, refuseLimit("limits.attachments", uint64(n), 1, uint64(b.limits.Attachments), "attachments")
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
	if err := b.bind(a, q.In, old != nil); err != nil {
		closeFiles(files)
		return Lease{}, fmt.Errorf("attach to ring %s: %w", r.info.Name, err)
	}
	b.enter(a) // first, so that leaving the old one does not let go of the process
	if old != nil {
		b.leave(old)
	}
	b.raise(Event{Kind: EventAttached, Ring: r.info.Name, ID: a.id, Detail: a.record.Name})
	return Lease{Out: wire.AttachOut{Attachment: b.measureOne(a), Ring: r.describe(), Files: index}, Files: files}, nil
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
	}
	if ref.role == wire.RoleConsumer {
		rec.Policy = q.In.Policy
		if rec.Policy == "" {
			rec.Policy = r.info.Policy
		}
	}
	return rec
}

// bind puts the slot on record as a zombie, binds it, and then records it as
// attached. So whatever the ring honours is on record, and a daemon that dies in
// between, before the process was told, leaves a slot that is unbound again.
// When the ring refuses, the slot is as it was.
func (b *Broker) bind(a *attachment, in wire.AttachIn, zombieBefore bool) error {
	pending := a.record
	pending.State = slotZombie
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
	return r.mem.BindConsumer(ref.slot, binding)
}
