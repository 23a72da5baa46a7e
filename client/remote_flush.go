package client

import (
	"context"
	"fmt"
	"time"

	"brokerd/internal/shmring"
)

// closeFlushMax is how long Close of a remote Producer waits for the other side, or
// Close of a Remote for all of them.
const closeFlushMax = 2 * time.Second

// UnacknowledgedError says that records of a remote Producer may not have reached
// their ring, or with 0 records that an end of stream may not. The cause is wrapped.
type UnacknowledgedError struct {
	Ring    string
	Records uint64
	cause   error
}

func (e *UnacknowledgedError) Error() string {
	if e.Records == 0 {
		return fmt.Sprintf("ring %s: the end of the stream is not acknowledged, and may or may not be published: %v", e.Ring, e.cause)
	}
	return fmt.Sprintf("ring %s: %d records are not acknowledged, and may or may not be published: %v", e.Ring, e.Records, e.cause)
}

func (e *UnacknowledgedError) Unwrap() error { return e.cause }

// flushLimit is until when a Producer that is closed waits.
func (r *Remote) flushLimit() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closeBy.IsZero() {
		return r.closeBy
	}
	return time.Now().Add(closeFlushMax)
}

// flush waits until everything of the session up to a boundary is published, or
// until the attachment or ctx ends.
func (s *stream) flush(ctx context.Context, all shmring.Boundary) error {
	r := s.remote
	for {
		r.mu.Lock()
		done := s.cargo.kept()
		lost := s.a.lost()
		if r.moved == nil {
			r.moved = make(chan struct{})
		}
		moved, away := r.moved, r.away
		r.mu.Unlock()
		if done.Position >= all.Position {
			return nil
		}
		missing := &UnacknowledgedError{Ring: s.ask.Ring, Records: all.Sequence - done.Sequence, cause: lost}
		if lost != nil {
			return missing
		}
		select {
		case <-moved:
		case <-ctx.Done():
			missing.cause = ctx.Err()
			if away != nil {
				missing.cause = fmt.Errorf("%w: %w", away, ctx.Err())
			}
			return missing
		}
	}
}
