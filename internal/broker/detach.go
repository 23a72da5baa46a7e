package broker

import (
	"errors"
	"fmt"
	"time"

	"brokerd/internal/wire"
)

// ErrEvict is what the may function of Detach returns to allow it to somebody
// who does not speak for the attached process, such as an administrator. It is
// a signal, as fs.SkipDir is one, and never returned to the caller of Detach.
var ErrEvict = errors.New("evict: allowed, but not by the process itself")

const endedByAdmin = "an administrator ended it"

// Detach ends an attachment, if may says so: nil when the attached process
// itself asks, which promises that it no longer uses what it was lent, so the
// slot is free at once, or left to its cursor; ErrEvict when somebody else does:
// then it ends as by Evict. Any other error of may is returned. conn is the
// connection that holds the attachment; it is 0 while none does. may is called
// under the broker's lock and must not call it.
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
		return b.detach(a)
	case errors.Is(err, ErrEvict):
		return b.evict(a, Event{Kind: EventDetached, Detail: endedByAdmin})
	}
	return err
}

// Evict ends an attachment for a reason, a sentence without a full stop that
// shows as wire.Attachment.EndedReason. The ring stops honouring it at once and
// no cursor stays, but its slot stays taken until the process is gone. One that
// has ended already keeps its reason. Error: wire.ErrAttachmentNotFound.
func (b *Broker) Evict(id, reason string) error {
	b.mu.Lock()
	defer b.unlock()
	a, ok := b.attachments[id]
	if !ok {
		return refuseAttachment(id)
	}
	return b.evict(a, Event{Kind: EventEnded, Detail: reason})
}

func (b *Broker) evict(a *attachment, e Event) error {
	switch a.hold {
	case holdZombie:
		return nil
	case holdResumable:
		return b.free(a, e)
	}
	return b.end(a, e, e.Detail)
}

// detach ends an attachment on the word of its process. One that has left its
// cursor has detached already, and may ask again.
func (b *Broker) detach(a *attachment) error {
	if a.hold == holdResumable {
		return nil
	}
	b.repair(a, false)
	return b.finish(a, Event{Kind: EventDetached, Detail: "asked by itself"})
}

// ConnectionClosed takes note that a connection is gone. A reader's gate falls
// at once, unless it leaves its cursor: then it has resume_for to come back. Its
// slot waits for the death of the process. A producer is kept until then,
// because it may hold a claim. It is not for connections that close because the
// daemon ends: what they hold stays, for the next daemon.
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
		a.hold, a.conn = holdKept, 0
		e := Event{Kind: EventDetached, Ring: a.ring.info.Name, ID: a.id, Detail: "connection closed"}
		switch {
		case a.keepsCursor():
			a.setDeadline(b.resumeDeadline(a.ring))
			b.record(a)
			b.raise(e)
		case a.ref.role == wire.RoleConsumer:
			b.failed(a, "close the gate", b.end(a, e, ""))
		default:
			b.raise(e)
		}
	}
}

// end stops what the ring does for an attachment whose process lives on, why is
// what the daemon has to say about it. Its figures stay as they are now.
func (b *Broker) end(a *attachment, e Event, why string) error {
	if b.measureOne(a); a.hold == holdZombie {
		return nil // what was found then has ended it
	}
	a.ended = why
	e.Ring, e.ID = a.ring.info.Name, a.id
	b.raise(e)
	return b.toZombie(a)
}

func (b *Broker) toZombie(a *attachment) error {
	a.hold, a.conn = max(a.hold, holdKept), 0
	if err := b.unbind(a); err != nil {
		return err
	}
	a.hold, a.record.State = holdZombie, slotZombie
	a.setDeadline(time.Time{})
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
