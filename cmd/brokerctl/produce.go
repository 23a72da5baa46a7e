package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"brokerd/client"
)

// drainTimeMax is how long a producer tries to publish what it has read after
// a signal.
const drainTimeMax = 2 * time.Second

// produce attaches as a producer and publishes the input until it ends or ctx
// does. setup bounds the attaching.
func (c *cli) produce(ctx, setup context.Context, conn attacher, ring string, f *attachFlags) error {
	p, err := conn.Producer(setup, ring, f.producerOptions())
	if err != nil {
		return c.timely(setup, err)
	}
	s := newSummary(ring, roleProducer)
	input := framing(f.framing.value).reader(newStoppable(ctx, c.stdin), int(p.Ring().RecordMax))
	drain, cancel := delayed(ctx, drainTimeMax)
	defer cancel()

	err = publish(drain, p, input, f.count, s)
	if err == nil && f.end {
		err = p.End(drain)
	}
	if err == nil {
		_ = p.Flush(drain) // Close tells what is missing then
	}
	if drain.Err() != nil && errors.Is(err, context.Canceled) {
		err = fmt.Errorf("ring %s: %w: stopped before everything was published", ring, client.ErrFull)
	}
	s.dropped = p.Stats().Dropped
	closed := p.Close()
	if left := (*client.UnacknowledgedError)(nil); errors.As(closed, &left) {
		s.unpublished += left.Records
	}
	err = errors.Join(err, closed)
	return errors.Join(err, c.printSummary(s))
}

// publish sends records until the input has ended, or count of them unless that
// is 0. Once ctx has ended it counts those that are left in s.
func publish(ctx context.Context, p *client.Producer, input frameReader, count uint64, s *summary) error {
	for n := uint64(0); count == 0 || n < count; n++ {
		record, err := input.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, errStopped) {
			return nil
		}
		if err != nil {
			return err
		}
		dropped := p.Stats().Dropped
		if err := p.Send(ctx, record); err != nil {
			s.unpublished = 1 + remaining(ctx, input)
			return err
		}
		if p.Stats().Dropped == dropped {
			s.add(len(record), 0)
		}
	}
	return nil
}

// remaining counts the records that were read already, if reading has stopped.
func remaining(ctx context.Context, input frameReader) uint64 {
	n := uint64(0)
	for ctx.Err() != nil {
		if _, err := input.Next(); err != nil {
			break
		}
		n++
	}
	return n
}

// delayed is a context that ends a while after ctx, without its values.
func delayed(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	later, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, func() {
		if sleepFor(later, d) {
			cancel()
		}
	})
	return later, func() {
		stop()
		cancel()
	}
}

// sleepFor waits for d; false when ctx ended before.
func sleepFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
