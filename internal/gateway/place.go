package gateway

import (
	"errors"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/broker"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// place is a slot of a ring that the gateway holds for a link, a remote client or a
// feed. It is an attachment like any other, of this process, so that whoever looks
// at the ring sees it, and an administrator can end it.
type place struct {
	ring   wire.Ring
	id     string
	slot   int
	role   wire.Role
	policy wire.Policy // of a reader
}

// attach takes a slot, as authorize allows by the ring. What of ours still uses that
// slot gives way.
func (g *Gateway) attach(in wire.AttachIn, authorize func(wire.Ring) error) (broker.Lease, place, error) {
	if in.Role == wire.RoleConsumer {
		in.WaitStrategy, in.NoMembarrier = wire.WaitPark, !shmring.HasMembarrier()
	}
	lease, err := g.broker.Attach(broker.AttachRequest{
		Conn: broker.GatewayConn, Process: g.self, UID: uint32(os.Geteuid()), In: in, Authorize: authorize,
	})
	if err != nil {
		return broker.Lease{}, place{}, err
	}
	a := lease.Out.Attachment
	g.giveWay(a)
	return lease, place{ring: lease.Out.Ring, id: a.ID, slot: a.Slot, role: a.Role, policy: a.Policy}, nil
}

// anybody is for what the configuration itself asks for, or has been judged already.
func anybody(wire.Ring) error { return nil }

// openProducer maps what was lent to a producer that does not wait for room.
func openProducer(lease broker.Lease) (*shmring.Producer, error) {
	a, files := lease.Out.Attachment, lease.Out.Files
	cursors := make([]*os.File, len(files.Cursors))
	for i, at := range files.Cursors {
		cursors[i] = lease.Files[at]
	}
	return shmring.OpenProducer(lease.Files[files.Data], cursors, shmring.ProducerOptions{
		Slot: a.Slot, Generation: a.Generation, OnFull: shmring.OnFullFail,
	})
}

// openConsumer maps what was lent to a reader; o says what the lease does not.
func openConsumer(lease broker.Lease, o shmring.ConsumerOptions) (*shmring.Consumer, error) {
	a, files := lease.Out.Attachment, lease.Out.Files
	data, cursor := lease.Files[files.Data], lease.Files[files.Cursors[0]]
	policy, err := shmring.ParsePolicy(string(a.Policy))
	if err != nil {
		return nil, errors.Join(err, data.Close(), cursor.Close())
	}
	o.Slot, o.Generation, o.Policy, o.Wait = a.Slot, a.Generation, policy, shmring.WaitPark
	return shmring.OpenConsumer(data, cursor, o)
}

// retryMin and retryMax are between two attempts to publish into a ring that is
// full.
const (
	retryMin = time.Millisecond
	retryMax = 8 * time.Millisecond
)

// nextRetry is the pause behind one.
func nextRetry(pause time.Duration) time.Duration { return min(max(2*pause, retryMin), retryMax) }

// detach gives a place back. A named reader of a ring with resume_for would leave a
// cursor that holds the ring: that is kept for remote clients only.
func (g *Gateway) detach(p place, keepCursor bool) {
	if p.role == wire.RoleConsumer && p.ring.ResumeForNS > 0 && !keepCursor {
		g.tolerate(p, g.broker.Evict(p.id, "it is over"))
	}
	g.tolerate(p, g.broker.Detach(p.id, func(wire.Attachment, uint64) error { return nil }))
}

// tolerate logs what keeps an attachment from being ended; that it has ended
// before, with its ring for one, is nothing.
func (g *Gateway) tolerate(p place, err error) {
	if err != nil && !errors.Is(err, wire.ErrAttachmentNotFound) && !errors.Is(err, broker.ErrClosed) {
		g.log.Error("cannot end an attachment of the gateway", zap.String("id", p.id), zap.Error(err))
	}
}

// attachment is what the broker says of a place. ok is false when it knows it no
// longer.
func (g *Gateway) attachment(p place) (a wire.Attachment, ok bool) {
	list, err := g.broker.Attachments(p.ring.Name)
	if err != nil {
		return a, false
	}
	i := slices.IndexFunc(list, func(a wire.Attachment) bool { return a.ID == p.id })
	if i < 0 {
		return a, false
	}
	return list[i], true
}

// ended says why a place is not ours any more, nil while it is.
func (g *Gateway) ended(p place) error {
	a, ok := g.attachment(p)
	switch {
	case !ok || a.Epoch != p.ring.Epoch:
		return &ringGone{p.ring.Name, "it was removed", shmring.ErrRemoved}
	case a.State != wire.StateAttached:
		return &ringGone{p.ring.Name, a.EndedReason, shmring.ErrDetached}
	}
	return nil
}

// ringGone says in words that a place is not ours any more.
type ringGone struct {
	ring, why string
	cause     error // ErrRemoved or ErrDetached
}

func (e *ringGone) Error() string { return "ring " + e.ring + ": no longer attached: " + e.why }
func (e *ringGone) Unwrap() error { return e.cause }

// hasSlotOf says whether a new attachment was given the slot of the place.
func (p place) hasSlotOf(a wire.Attachment) bool {
	return p.ring.Name == a.Ring && p.slot == a.Slot && p.role == a.Role && p.id != a.ID
}

// giveWay ends whatever of ours still uses the slot of a new attachment: an
// administrator has ended it, and the broker has given the slot again, before we
// have noticed.
func (g *Gateway) giveWay(a wire.Attachment) {
	for c := range g.conns {
		for stream, x := range c.exports {
			if x.hasSlotOf(a) {
				c.link.End(stream, wire.LinkEndFrame{Code: wire.CodeDetached, Message: shmring.ErrDetached.Error()})
				c.sock.retick() // which sends it
				delete(c.exports, stream)
				g.release(x, "an administrator ended it")
			}
		}
	}
	for _, x := range slices.Clone(g.parked) {
		if x.hasSlotOf(a) {
			g.unpark(x, "an administrator ended it")
		}
	}
	for _, p := range g.publishers {
		if p.hasSlotOf(a) {
			p.end(shmring.ErrDetached)
		}
	}
	for _, f := range g.feeds {
		f.giveWay(a)
	}
}
