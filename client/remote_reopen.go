package client

import (
	"errors"
	"fmt"
	"math"
	"time"

	protocol "brokerd/internal/link"
	"brokerd/internal/wire"
)

// Times of streams that the other side does not open again at once.
const (
	reopenDelayMin = 50 * time.Millisecond
	reopenDelayMax = time.Second
	// reopenTimeMax is for how long slots may be taken by what the other side does
	// not know to be dead yet.
	reopenTimeMax = 30 * time.Second
)

// retry is when a stream is asked for again. The zero value says at once.
type retry struct {
	at    int64         // ns
	delay time.Duration // of the last one
	since int64         // of the first one, ns
}

// later is a while later than the last time.
func (t *retry) later(now int64) {
	if t.since == 0 {
		t.since = now
	}
	t.delay = min(max(2*t.delay, reopenDelayMin), reopenDelayMax)
	t.at = now + int64(jittered(t.delay))
}

// exhausted tells whether it has gone on for too long.
func (t *retry) exhausted(now int64) bool {
	return t.since != 0 && time.Duration(now-t.since) > reopenTimeMax
}

// reopen asks for the streams that are held and not open, and says when there is
// more to ask for.
func (r *Remote) reopen(l *line, now int64) (next int64) {
	next = math.MaxInt64
	for s := range r.waiting {
		if s.retry.at > now {
			next = min(next, s.retry.at)
			continue
		}
		id, err := l.link.Open(s.asked())
		if err != nil { // the other side carries fewer streams than it did
			s.retry.later(now)
			next = min(next, s.retry.at)
			continue
		}
		s.id = id
		l.streams[id] = s
		delete(r.waiting, s)
	}
	return next
}

// asked is the frame that asks for the stream again: a reader goes on behind what it
// has; where a producer does, the other side says.
func (s *stream) asked() wire.LinkOpenFrame {
	ask := s.ask
	ask.From, ask.Epoch, ask.Position = wire.LinkFromLatest, s.epoch, 0
	if ask.Mode == wire.LinkRead {
		at := s.cargo.held()
		ask.From, ask.Position, ask.Sequence = wire.LinkFromHeld, at.Position, at.Sequence
	}
	return ask
}

// ended deals with a stream that the other side has refused or ended, or whose
// bytes were no good.
func (s *stream) ended(e protocol.Event) {
	granted := s.open
	s.open = false
	switch {
	case s.answer != nil && e.Err == nil:
		s.reply(answered{err: refusalOf(s.ask.Ring, e.End)})
	case s.answer != nil:
		s.reply(answered{err: e.Err})
	case e.Err != nil:
		s.lose(fmt.Errorf("%w: %w", ErrCorrupt, e.Err))
	case granted:
		s.cut(e.End)
	default:
		s.refused(refusalOf(s.ask.Ring, e.End))
	}
}

// cut deals with the end of a stream that was open.
func (s *stream) cut(e wire.LinkEndFrame) {
	switch e.Code {
	case wire.CodeRemoved:
		s.removed = true
		s.wait()
	case wire.CodeDetached, wire.CodeDenied:
		s.finish(&endedError{id: s.name, why: e.Message})
	case wire.CodeGoodbye, wire.CodeBusy, wire.CodeInternal:
		s.retry.later(s.remote.now())
		s.wait()
	case wire.CodeCorrupt:
		s.lose(fmt.Errorf("%w: %s", ErrCorrupt, e.Message))
	default:
		s.lose(refusalOf(s.ask.Ring, e))
	}
}

// refused deals with a stream that is not opened again.
func (s *stream) refused(err error) {
	now := s.remote.now()
	var refusal *Error
	switch {
	case errors.Is(err, ErrRingNotFound):
		s.gone(0, nil, err)
	case errors.Is(err, ErrEpochChanged) && errors.As(err, &refusal):
		var is wire.EpochChangedParameters
		unknown := refusal.Decode(&is)
		s.gone(is.Current, unknown, err)
	case s.removed:
		s.gone(0, err)
	case errors.Is(err, ErrNotReady), passing(err) && !s.retry.exhausted(now):
		s.retry.later(now)
		s.wait()
	default:
		s.lose(err)
	}
}

// passing tells whether a refusal may be one of what was before the connection
// broke, or of a gateway that is busy.
func passing(err error) bool {
	for _, e := range []error{ErrSlotsExhausted, ErrProducerPresent, ErrCursorInUse, errEndedThere} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// wait has the stream asked for again.
func (s *stream) wait() { s.remote.waiting[s] = struct{}{} }

// gone ends the attachment because its ring is another one now, of the epoch
// current, or none at all. more are other words for it.
func (s *stream) gone(current uint64, unknown error, more ...error) {
	e := &RemovedError{Ring: s.ask.Ring, Epoch: s.epoch, Current: current, unknown: unknown}
	if current == s.epoch {
		e.Current, e.unknown = 0, errors.New("the other side lends it as it was")
	}
	if s.removed {
		s.finish(e)
		return
	}
	s.lose(append([]error{e}, more...)...)
}

// lose ends the attachment because the other side, asked again, does not take it.
func (s *stream) lose(why ...error) { s.finish(&lostError{id: s.name, why: why}) }

// finish ends the attachment. Its Producer or Consumer is still to be closed.
func (s *stream) finish(err error) {
	s.a.end(err)
	delete(s.remote.held, s)
	delete(s.remote.waiting, s)
	s.remote.tell()
}
