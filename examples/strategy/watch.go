package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"brokerd/client"
)

// watch prints the newest quote now and then, without holding the feed.
func watch(ctx context.Context, c *client.Client, every time.Duration) (err error) {
	// It never waits in the ring, so producers need not look whether to wake it: spin.
	r, err := c.Consumer(ctx, ringQuotes, client.ConsumerOptions{
		Name: "watch", Policy: client.PolicyLatest, From: client.FromOldest(), WaitStrategy: client.WaitSpin,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		var q quote
		n, err := r.Poll(func(record client.Record) (bad error) {
			q, bad = readQuote(record.Payload) // a view of the ring: used here, not kept
			return bad
		}, 1)
		var overrun *client.OverrunError
		switch {
		case errors.As(err, &overrun):
			continue // the producer was faster: q is worth nothing
		case errors.Is(err, client.ErrEndOfStream):
			return nil
		case err != nil:
			return err
		case n > 0:
			fmt.Printf("watch: quote %d, bid %d, ask %d\n", q.number, q.bid, q.ask)
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
