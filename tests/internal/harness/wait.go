package harness

import (
	"context"
	"testing"
	"time"
)

// Patience bounds every wait that has no bound of its own. It is generous: the
// machine may be busy.
const Patience = 20 * time.Second

// pollEvery is how often Eventually looks at its condition.
const pollEvery = 2 * time.Millisecond

// Eventually polls done until it is true.
func Eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	EventuallyEvery(t, pollEvery, what, done)
}

// EventuallyEvery is Eventually for a condition that costs something to look at.
func EventuallyEvery(t testing.TB, every time.Duration, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(Patience); !done(); time.Sleep(every) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, Patience)
		}
	}
}

// Bounded is a context for one call. It ends with the test, too.
func Bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Sleep waits for d, or until ctx is done: it says whether it went on for d.
func Sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
