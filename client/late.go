package client

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// waitedError is what was still wrong after a wait. It says how long that was,
// which "context deadline exceeded" does not; errors.Is finds the deadline still.
type waitedError struct {
	wait time.Duration
	is   []error // what was wrong, and the context's error where that ended the wait
}

func (e *waitedError) Error() string   { return fmt.Sprintf("%v (waited %v)", e.is[0], e.wait) }
func (e *waitedError) Unwrap() []error { return e.is }

// overdue is the error of a context that ended while what was still wrong.
func overdue(ctx context.Context, begin time.Time, what error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%w: %w", what, ctx.Err())
	}
	return &waitedError{wait: time.Since(begin).Round(time.Millisecond), is: []error{what, ctx.Err()}}
}
