package control

import (
	"context"
	"encoding/json"
	"errors"

	"go.uber.org/zap"

	"brokerd/internal/broker"
	"brokerd/internal/process"
	"brokerd/internal/wire"
)

// attach is a handler of its own: files ride with its reply.
func (t *session) attach(_ context.Context, parameters json.RawMessage) (result, error) {
	var in wire.AttachIn
	if err := wire.DecodeParameters(parameters, &in); err != nil {
		return result{}, err
	}
	lease, err := t.lease(in)
	if err != nil {
		return result{}, t.server.access.explain(t.subject, err, "attach to ring "+quoted(in.Ring))
	}
	a := lease.Out.Attachment
	t.server.o.Log.Info("attached", append(t.fields(), zap.String("ring", a.Ring), zap.String("id", a.ID),
		zap.String("name", a.Name), zap.String("policy", string(a.Policy)), zap.Bool("resumed", lease.Out.Resumed))...)
	return result{out: lease.Out, files: lease.Files}, nil
}

// lease asks the broker, and notes at the seat what it gave. The broker calls
// Authorize under its lock, so the names in the ring's rules are looked up
// before: should the rules change between the two, names that are new in them
// match nobody this time.
func (t *session) lease(in wire.AttachIn) (broker.Lease, error) {
	who, err := t.who()
	if errors.Is(err, process.ErrForeignNamespace) {
		return broker.Lease{}, wire.AccessDenied("process id namespace", "attach to ring %s: %v", quoted(in.Ring), err)
	}
	if err != nil {
		return broker.Lease{}, err
	}
	if !t.server.access.trusted(t.subject) {
		for _, ring := range t.server.o.Broker.Rings() {
			if ring.Name == in.Ring {
				t.server.access.learn(ring.Allow)
			}
		}
	}
	t.server.lending.RLock()
	defer t.server.lending.RUnlock()
	lease, err := t.server.o.Broker.Attach(broker.AttachRequest{
		Conn: t.seat.conn, Process: who, UID: t.subject.uid, In: in,
		Authorize: func(ring wire.Ring) error { return t.server.access.mayAttach(t.subject, ring, in) },
	})
	if err == nil {
		id := lease.Out.Attachment.ID
		t.server.seats.returned(id) // by the connection that it had before, if any
		t.server.seats.lend(t.seat, id)
	}
	return lease, err
}

// detach ends an attachment of the calling process, whichever of its
// connections it came by; or a cursor that a process of the same user left, who
// may resume and discard it as well; or any for an administrator.
func (t *session) detach(in wire.DetachIn) (wire.DetachOut, error) {
	var own bool
	err := t.server.o.Broker.Detach(in.ID, func(a wire.Attachment, conn uint64) error {
		own = conn == t.seat.conn || t.isProcessOf(a)
		switch {
		case in.Epoch != nil && *in.Epoch != a.Epoch:
			return errOtherEpoch
		case own:
			return nil
		case t.server.access.admin(t.subject), a.State == wire.StateResumable && a.UID == t.subject.uid:
			return broker.ErrEvict
		}
		return errNotAdmin
	})
	if errors.Is(err, errOtherEpoch) {
		return wire.DetachOut{}, wire.AttachmentNotFound(in.ID, "there is no attachment %s of epoch %d any more: the ring was made anew", quoted(in.ID), *in.Epoch)
	}
	if err != nil {
		return wire.DetachOut{}, t.server.access.explain(t.subject, err, "detach "+quoted(in.ID)+" of another process")
	}
	t.server.seats.returned(in.ID)
	t.server.o.Log.Info("detached", append(t.fields(), zap.String("id", in.ID), zap.Bool("by_itself", own))...)
	return wire.DetachOut{}, nil
}

// errOtherEpoch says that an attachment is one of another ring of that name.
var errOtherEpoch = errors.New("attachment of a ring of another epoch")

// isProcessOf tells whether the caller is the process that attached. Its pid
// alone would not do: the caller may have died since it connected and left the
// connection to a child, and the pid to somebody else. Only of a cursor it does:
// a reader may have died of its own will before its word was read, which then must
// not discard the cursor that it left.
func (t *session) isProcessOf(a wire.Attachment) bool {
	who, err := t.who()
	return err == nil && a.PID == who.ID().PID && a.UID == t.subject.uid && (!who.Exited() || a.State == wire.StateResumable)
}

func (t *session) listAttachments(in wire.ListAttachmentsIn) (wire.ListAttachmentsOut, error) {
	list, err := t.server.o.Broker.Attachments(in.Ring)
	return wire.ListAttachmentsOut{Attachments: list}, err
}
