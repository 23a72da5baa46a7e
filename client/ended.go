package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"brokerd/internal/wire"
)

// askTimeout bounds how long an attachment that has ended asks the daemon why.
const askTimeout = 500 * time.Millisecond

// RemovedError says that the ring of an attachment was removed. It is an
// ErrRemoved.
type RemovedError struct {
	Ring  string
	Epoch uint64 // of the ring that this process was attached to
	// Current is the epoch of the ring that has the name now, 0 when there is
	// none. It is 0 too, and the text says so, when the daemon did not tell.
	Current uint64
	unknown error // why it did not
}

func (e *RemovedError) Error() string {
	switch {
	case e.unknown != nil:
		return fmt.Sprintf("%v: %s of epoch %d; whether it was made anew is unknown: %v", ErrRemoved, e.Ring, e.Epoch, e.unknown)
	case e.Current == 0:
		return fmt.Sprintf("%v: %s of epoch %d; there is no ring of that name now", ErrRemoved, e.Ring, e.Epoch)
	default:
		return fmt.Sprintf("%v: %s of epoch %d; it was made anew with epoch %d, attach again to use that", ErrRemoved, e.Ring, e.Epoch, e.Current)
	}
}

func (e *RemovedError) Unwrap() error { return ErrRemoved }

// endedError is ErrDetached with what the daemon says about it.
type endedError struct{ id, why string }

func (e *endedError) Error() string { return fmt.Sprintf("%v: %s: %s", ErrDetached, e.id, e.why) }
func (e *endedError) Unwrap() error { return ErrDetached }

// explain adds what the daemon knows to an error of the ring. The usual outcomes
// of a call pass untouched.
func (a *attachment) explain(err error) error {
	switch err {
	case nil, ErrEmpty, ErrFull, ErrEndOfStream:
		return err
	}
	return a.reason(err)
}

// reason explains the end of the attachment, once.
func (a *attachment) reason(err error) error {
	spoilt := a.origin == nil && (errors.Is(err, ErrCorrupt) || errors.Is(err, ErrFault))
	if !spoilt && !errors.Is(err, ErrRemoved) && !errors.Is(err, ErrDetached) || explained(err) {
		return err
	}
	if lost := a.lost(); lost != nil {
		return lost
	}
	// From now on a daemon that comes back has nothing to say about it.
	a.end(a.side.why(a, err))
	return a.lost()
}

// why asks the daemon.
func (c *Client) why(a *attachment, err error) error {
	ctx, cancel := context.WithTimeout(c.life, askTimeout)
	defer cancel()
	switch {
	case errors.Is(err, ErrRemoved):
		return c.askRemoved(ctx, a)
	case errors.Is(err, ErrDetached):
		return c.askEnded(ctx, a)
	}
	return c.askCorrupt(ctx, a, err)
}

// explained tells whether err is about an attachment that has been asked about,
// be it another one: a callback of Poll may have returned it.
func explained(err error) bool {
	var removed *RemovedError
	var ended *endedError
	var corrupt *CorruptError
	return errors.As(err, &removed) || errors.As(err, &ended) || errors.As(err, &corrupt) || errors.Is(err, ErrLost)
}

func (c *Client) askRemoved(ctx context.Context, a *attachment) error {
	e := &RemovedError{Ring: a.ring.Name, Epoch: a.ring.Epoch}
	now, err := c.DescribeRing(ctx, a.ring.Name)
	switch {
	case errors.Is(err, ErrRingNotFound):
	case err != nil:
		e.unknown = err
	case now.Ring.Epoch == e.Epoch:
		e.unknown = errors.New("the daemon still lists it as it was")
	default:
		e.Current = now.Ring.Epoch
	}
	return e
}

func (c *Client) askEnded(ctx context.Context, a *attachment) error {
	e := &endedError{id: a.info.ID, why: "it gives no reason"}
	list, err := c.Attachments(ctx, a.ring.Name)
	i := slices.IndexFunc(list, func(o Attachment) bool { return o.ID == e.id })
	switch {
	case err != nil:
		e.why = fmt.Sprintf("why is unknown: %v", err)
	case i < 0:
		e.why = "it does not list it any more"
	case list[i].EndedReason != "":
		e.why = list[i].EndedReason
	}
	return e
}

// refusal is why a daemon that came back does not take the attachment: what it
// says, and before that what it means where that is a ring that was removed.
func (a *attachment) refusal(err error) []error {
	removed := &RemovedError{Ring: a.ring.Name, Epoch: a.ring.Epoch}
	var refused *Error
	switch {
	case errors.Is(err, ErrRingNotFound):
	case errors.Is(err, ErrEpochChanged) && errors.As(err, &refused):
		var now wire.EpochChangedParameters
		if removed.unknown = refused.Decode(&now); removed.unknown == nil {
			removed.Current = now.Current
		}
	default:
		return []error{err}
	}
	return []error{removed, err}
}
