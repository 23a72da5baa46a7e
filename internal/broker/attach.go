package broker

import (
	"os"
	"time"

	"brokerd/internal/process"
	"brokerd/internal/wire"
)

// GatewayConn is the Conn of what the daemon attaches itself, for other hosts. No
// connection of the control socket has it.
const GatewayConn uint64 = 1<<64 - 1

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
// With In.Resume a consumer takes over the cursor that an earlier one of its
// name and user left, if there is one; without, such a cursor is discarded.
// Refusals are *wire.Error.
func (b *Broker) Attach(q AttachRequest) (Lease, error) {
	if err := checkAttach(q.In); err != nil {
		return Lease{}, err
	}
	b.mu.Lock()
	defer b.unlock()
	lease, err := b.attach(q)
	return lease, b.scarce(err, "attach to ring "+q.In.Ring, 0, 0)
}

func (b *Broker) attach(q AttachRequest) (Lease, error) {
	r, err := b.ringNamed(q.In.Ring)
	if err != nil {
		return Lease{}, err
	}
	if r.retired != nil {
		return Lease{}, refuseCorrupt(r)
	}
	if q.In.Epoch != nil && *q.In.Epoch != r.info.Epoch {
		return Lease{}, refuseEpoch(r.info.Name, *q.In.Epoch, r.info.Epoch)
	}
	if r.info.Mirror != nil && q.In.Role == wire.RoleProducer {
		return Lease{}, refuseMirrorProducer(r.info)
	}
	if err := q.Authorize(r.describe()); err != nil {
		return Lease{}, b.lostRight(r, q, err)
	}
	b.expire(r) // what the sweep has not seen yet
	if a := r.again(q); a != nil && a.hold != holdZombie {
		return b.reattach(a, q)
	}
	cursor, err := b.cursorFor(r, q)
	if err != nil {
		return Lease{}, err
	}
	return b.attachNew(r, q, cursor)
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
	case in.Resume && in.Role == wire.RoleProducer:
		return wire.InvalidParameter("resume", "resume is true: only a consumer leaves a cursor that can be resumed")
	case in.Resume && in.Name == "":
		return wire.InvalidParameter("resume", "resume is true and there is no name: give the name that the cursor was left under")
	}
	return nil
}

// lostRight ends what was kept for a process that comes back for it and may not
// have it any more. It returns the refusal.
func (b *Broker) lostRight(r *ring, q AttachRequest, refusal error) error {
	if a := r.again(q); a != nil && a.hold != holdZombie {
		b.failed(a, "end it", b.evict(a, Event{Kind: EventEnded, Detail: refusal.Error()}))
	}
	return refusal
}

// again finds the attachment that a request's token names, nil without one.
func (r *ring) again(q AttachRequest) *attachment {
	if q.In.Token == "" {
		return nil
	}
	for _, a := range r.held {
		if a.ref.role == q.In.Role && a.record.Token == q.In.Token && a.record.UID == q.UID && a.isOf(q.Process) {
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
	if a.setDeadline(time.Time{}) {
		b.record(a)
	}
	b.raise(Event{Kind: EventReattached, Ring: a.ring.info.Name, ID: a.id, Detail: a.record.Name})
	return b.lease(a, files, index, q.In.Resume && a.record.Resumed), nil
}

func (b *Broker) lease(a *attachment, files []*os.File, index wire.Files, resumed bool) Lease {
	out := wire.AttachOut{Attachment: b.measureOne(a), Ring: a.ring.describe(), Files: index, Resumed: resumed}
	return Lease{Out: out, Files: files}
}
