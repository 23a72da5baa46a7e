package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"brokerd/client"
)

// replay publishes a feed at its recorded pace times a factor. Its producer is
// used by run alone; others look at the progress.
type replay struct {
	feed     *feed
	factor   float64
	producer *client.Producer

	mu  sync.Mutex
	now progress
}

// progress is how far a replay is.
type progress struct {
	Records  uint64
	Position uint64        // in the ring, bytes
	Held     time.Duration // spent waiting for readers
}

// duration is how long the replay takes when nobody holds it.
func (r *replay) duration() time.Duration {
	return time.Duration(float64(r.feed.length()) / r.factor)
}

func (r *replay) progress() progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

// run publishes all lines and an end record. After being held it makes up for
// the time lost: records that are due go out at once.
func (r *replay) run(ctx context.Context) error {
	start := time.Now()
	for i, line := range r.feed.lines {
		due := start.Add(time.Duration(float64(r.feed.at[i]) / r.factor))
		if err := sleep(ctx, time.Until(due)); err != nil {
			return err
		}
		if err := r.producer.Send(ctx, line); err != nil {
			return fmt.Errorf("publish record %d: %w", i+1, err)
		}
		r.note()
	}
	if err := r.producer.End(ctx); err != nil {
		return fmt.Errorf("publish the end record: %w", err)
	}
	r.note()
	return nil
}

func (r *replay) note() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = progress{
		Records:  r.producer.Sequence(),
		Position: r.producer.Position(),
		Held:     time.Duration(r.producer.Stats().HeldNanos),
	}
}

// sleep waits for d, or returns why ctx ended before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
