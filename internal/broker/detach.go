package broker

import (
	"errors"
	"fmt"

	"brokerd/internal/wire"
)

// ErrEvict is what the may function of Detach returns to allow it to somebody
// who does not speak for the attached process, such as an administrator. It is
// a signal, as fs.SkipDir is one, and never returned to the caller of Detach.
var ErrEvict = errors.New("evict: allowed, but not by the process itself")

// Detach ends an attachment, if may says so: nil when the attached process
// itself asks, which promises that it no longer uses what it was lent, so the
// slot is free at once; ErrEvict when somebody else does: then the ring stops
// honouring it at once, but its slot stays taken until the process is gone.
// Any other error of may is returned. conn is the connection that holds the
// attachment; it is 0 while none does. may is called under the broker's lock
// and must not call it.
func (b *Broker) Detach(id string, may func(a wire.Attachment, conn uint64) error) error {
	b.mu.Lock()
	defer b.unlock()
	a, ok := b.attachments[id]
	if !ok {
		return refuseAttachment(id)
	}
	err := may(a.describe(), a.conn)
	switch {
	case err == nil:
		return b.free(a, Event{Kind: EventDetached, Detail: "asked by itself"})
	case errors.Is(err, ErrEvict):
		if a.hold == holdZombie {
			return nil
		}
		b.raise(Event{Kind: EventDetached, Ring: a.ring.info.Name, ID: a.id, Detail: "evicted"})
		return b.toZombie(a)
	}
	return err
}

// ConnectionClosed takes note that a connection is gone. A reader's gate falls
// at once; its slot waits for the death of the process. A producer is kept
// until then, because it may hold a claim. It is not for connections that close
// because the daemon ends: what they hold stays, for the next daemon.
func (b *Broker) ConnectionClosed(conn uint64) {
	b.mu.Lock()
	defer b.unlock()
	if b.closed {
		return
	}
	for _, a := range b.attachments {
		if a.hold != holdAttached || a.conn != conn {
			continue
		}
		b.raise(Event{Kind: EventDetached, Ring: a.ring.info.Name, ID: a.id, Detail: "connection closed"})
		a.hold, a.conn = holdKept, 0
		if a.ref.role == wire.RoleConsumer {
			b.failed(a, "close the gate", b.toZombie(a))
		}
	}
}

// toZombie ends what the ring does for an attachment whose process lives on.
func (b *Broker) toZombie(a *attachment) error {
	a.hold, a.conn = max(a.hold, holdKept), 0
	if err := b.unbind(a); err != nil {
		return err
	}
	a.hold, a.record.State = holdZombie, slotZombie
	b.record(a)
	return nil
}

// free ends an attachment whose process is gone or has finished with it. e is
// raised with the attachment's names. When the ring does not let go (the kernel
// lacks memory, say) nothing is freed: a gate that nobody owns would hold the
// producer for ever. The sweep tries again once the process is dead.
func (b *Broker) free(a *attachment, e Event) error {
	if err := b.unbind(a); err != nil {
		return err
	}
	a.record = a.record.freed()
	b.record(a)
	b.leave(a)
	e.Ring, e.ID = a.ring.info.Name, a.id
	b.raise(e)
	return nil
}

// record writes an attachment's record. A failure leaves a record that claims
// more than is true, which the next adoption puts right.
func (b *Broker) record(a *attachment) {
	b.failed(a, "write the slot table", a.ring.slots.put(a.ref, a.record))
}

// failed raises an error that nobody waits for. A ring that is retired has been
// told of already.
func (b *Broker) failed(a *attachment, what string, err error) {
	if err != nil && a.ring.retired == nil {
		b.raise(Event{Kind: EventFailed, Ring: a.ring.info.Name, ID: a.id, Detail: what, Err: err})
	}
}

// unbind makes the ring forget an attachment: before the slot table does, so
// that a crash in between leaves a record to find it by. A ring that is retired,
// or is now, needs no more care.
func (b *Broker) unbind(a *attachment) error {
	if a.hold == holdZombie {
		return nil
	}
	err := a.ring.unbind(a.ref)
	if err == nil || a.ring.retired != nil {
		return nil
	}
	if err = b.judge(a.ring, err); a.ring.retired != nil || isReaderFault(err) {
		return nil // the reader's own page: its slot was taken back all the same
	}
	return fmt.Errorf("unbind %s: %w", a.id, err)
}

func (r *ring) unbind(ref slotRef) error {
	if ref.role == wire.RoleProducer {
		return r.mem.UnbindProducer(ref.slot)
	}
	return r.mem.UnbindConsumer(ref.slot)
}
