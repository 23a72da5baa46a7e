package broker

import (
	"math"
	"time"

	"brokerd/internal/wire"
)

// keepsCursor says whether a reader leaves its cursor when it ends: it attached
// under a name while the ring kept cursors, so it stores where it is, and the
// ring still keeps them.
func (a *attachment) keepsCursor() bool {
	return a.record.Keeps && a.hold != holdZombie && a.ring.info.ResumeForNS > 0 && a.ring.retired == nil
}

// setDeadline changes until when the ring honours an attachment (the zero time: no
// deadline), and tells whether that is a change, to be recorded.
func (a *attachment) setDeadline(t time.Time) bool {
	if a.until.Equal(t) {
		return false
	}
	a.until, a.record.UntilNanos = t, 0
	if !t.IsZero() {
		a.record.UntilNanos = t.UnixNano()
	}
	return true
}

// resumeDeadline is the time until which a reader that ends now can be resumed.
func (b *Broker) resumeDeadline(r *ring) time.Time {
	return b.now().Add(time.Duration(r.info.ResumeForNS))
}

// cursorFor finds the cursor that a request resumes, nil when there is none. A
// request under a cursor's name that does not resume it discards it.
func (b *Broker) cursorFor(r *ring, q AttachRequest) (*attachment, error) {
	if q.In.Role != wire.RoleConsumer || q.In.Name == "" {
		return nil, nil
	}
	var busy, foreign *attachment
	for _, a := range r.holders(wire.RoleConsumer) {
		if a.record.Name != q.In.Name {
			continue
		}
		if a.proc != nil && a.proc.handle.Exited() {
			b.bury(a.proc)
		}
		switch {
		case r.held[a.ref] != a || a.hold != holdResumable && !a.keepsCursor(): // gone, or leaves none
		case a.record.UID != q.UID:
			foreign = a
		case a.hold != holdResumable:
			busy = a
		case !q.In.Resume:
			if err := b.free(a, Event{Kind: EventExpired, Detail: "a reader of that name began anew"}); err != nil {
				return nil, err
			}
		case a.record.Generation < math.MaxUint32:
			return a, nil
		}
	}
	switch {
	case !q.In.Resume:
		return nil, nil
	case busy != nil:
		return nil, refuseCursorInUse(r.info.Name, busy)
	case foreign != nil:
		return nil, refuseCursorOf(r.info.Name, foreign, q.UID)
	}
	return nil, nil
}

// finish ends an attachment whose process is gone or has finished with it. A
// reader may leave its cursor: it keeps its slot and, if it gates, goes on
// gating until it is resumed or its deadline passes.
func (b *Broker) finish(a *attachment, e Event) error {
	if !a.keepsCursor() {
		return b.free(a, e)
	}
	until := a.until // of one whose connection closed before
	if until.IsZero() {
		until = b.resumeDeadline(a.ring)
	}
	if !b.now().Before(until) {
		return b.free(a, e)
	}
	b.letGo(a)
	a.hold, a.conn, a.record.State = holdResumable, 0, slotResumable
	a.setDeadline(until)
	b.record(a)
	b.raise(Event{Kind: EventCursorKept, Ring: a.ring.info.Name, ID: a.id,
		Detail: a.record.Name + " until " + until.UTC().Format(time.RFC3339Nano) + ": " + e.Detail})
	return nil
}

// expire ends what a ring honours past its deadline: cursors that nobody
// resumed, and readers that lost their connection and did not come back.
func (b *Broker) expire(r *ring) {
	now := b.now()
	for _, a := range r.ordered() {
		if a.until.IsZero() || now.Before(a.until) {
			continue
		}
		if a.hold == holdResumable {
			b.failed(a, "free the slot of a cursor", b.free(a, Event{Kind: EventExpired, Detail: "nobody resumed it within resume_for"}))
			continue
		}
		why := "its connection closed and it did not come back within resume_for"
		b.failed(a, "close the gate", b.end(a, Event{Kind: EventEnded, Detail: why}, why))
	}
}

// shorten brings deadlines within the ring's resume_for, after that has become
// less, or the clock was set back while no daemon ran.
func (b *Broker) shorten(r *ring) {
	most := b.resumeDeadline(r)
	for _, a := range r.ordered() {
		if a.until.After(most) && a.setDeadline(most) {
			b.record(a)
		}
	}
}
