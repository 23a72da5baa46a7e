package client

import (
	"context"
	"fmt"
	"time"
)

// closeFlushMax is how long Close of a remote Producer waits for the other side.
const closeFlushMax = 2 * time.Second

// UnacknowledgedError says that records of a remote Producer may not have reached
// their ring. The cause is wrapped.
type UnacknowledgedError struct {
	Ring    string
	Records uint64
	cause   error
}

func (e *UnacknowledgedError) Error() string {
	return fmt.Sprintf("ring %s: %d records are not acknowledged, and may or may not be published: %v", e.Ring, e.Records, e.cause)
}

func (e *UnacknowledgedError) Unwrap() error { return e.cause }

// flush waits until the first records of the session are published, or until the
// attachment or ctx ends.
func (s *stream) flush(ctx context.Context, records uint64) error {
	r := s.remote
	for {
		r.mu.Lock()
		done := s.cargo.kept().Sequence
		lost := s.a.lost()
		if r.moved == nil {
			r.moved = make(chan struct{})
		}
		moved, away := r.moved, r.away
		r.mu.Unlock()
		if done >= records {
			return nil
		}
		missing := &UnacknowledgedError{Ring: s.ask.Ring, Records: records - done, cause: lost}
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
