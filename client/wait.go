package client

import (
	"context"
	"fmt"
	"time"
)

// waiting is the context that a ring waits with: the caller's, ended as well by
// the loss of the attachment and, for a producer, by its block timeout. It is
// made once per attachment, so a wait allocates nothing. The ring looks at Err
// while it waits, which is what makes this work without a goroutine.
type waiting struct {
	context.Context // of the call under way
	a               *attachment
	limit           time.Duration // 0 = none
	since           time.Time     // first look of the call under way
}

// with prepares for one call.
func (w *waiting) with(ctx context.Context) context.Context {
	w.Context = ctx
	if w.limit > 0 {
		w.since = time.Time{}
	}
	return w
}

// Err implements context.Context.
func (w *waiting) Err() error {
	if err := w.Context.Err(); err != nil {
		return err
	}
	if err := w.a.lost(); err != nil {
		return err
	}
	if w.limit <= 0 {
		return nil
	}
	if w.since.IsZero() {
		w.since = time.Now()
		return nil
	}
	if time.Since(w.since) >= w.limit {
		return fmt.Errorf("%w for %v", ErrFull, w.limit)
	}
	return nil
}
