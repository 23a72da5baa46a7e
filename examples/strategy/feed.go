package main

import (
	"context"
	"errors"

	"brokerd/client"
)

// feed publishes quotes and the end of the stream.
func feed(ctx context.Context, c *client.Client, count int) (err error) {
	p, err := c.Producer(ctx, ringQuotes, client.ProducerOptions{Name: "feed"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	for i := range count {
		p.SetTag(uint16(1 + i%symbols))
		buf, err := p.Reserve(ctx, quoteBytes) // bytes of the ring itself
		if err != nil {
			return err
		}
		quoteAt(i).put(buf)
		if err := p.Commit(); err != nil {
			return err
		}
	}
	return p.End(ctx)
}

// quoteAt makes a quote up. One in a hundred is crossed: its bid is above its ask.
func quoteAt(i int) quote {
	q := quote{uint64(i), int64(10_000 + i%7), int64(10_010 + i%7)}
	if i%100 == 50 {
		q.bid = q.ask + 1
	}
	return q
}
