package main

import (
	"context"
	"errors"
	"fmt"

	"brokerd/client"
)

const (
	// turnRecordsMax is how many records of one ring are read before the other
	// has its turn.
	turnRecordsMax = 64
	// openOrdersMax is how many orders may wait for their fills. The rings of
	// orders and fills are a circle: without it, a strategy that waits for room in
	// one while the gateway waits for room in the other would be stuck.
	openOrdersMax = 1000
)

// strategy buys and sells whenever a quote is crossed.
type strategy struct {
	quotes, fills *client.Consumer
	orders        *client.Producer
	poller        *client.Poller
	legs          [2][]byte // the orders of one trade, made once and used again
	sent, filled  uint64
	stale         bool // quotes were missed: the next one of each symbol is no signal
	ended         bool // there will be no more quotes
}

// trade runs one strategy until the quotes have ended and every order is filled.
func trade(ctx context.Context, c *client.Client, id uint16) (err error) {
	s := &strategy{
		poller: client.NewPoller(client.PollerOptions{}),
		legs:   [2][]byte{make([]byte, orderBytes), make([]byte, orderBytes)},
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.attach(ctx, c, id); err != nil {
		return err
	}
	if err := s.run(ctx); err != nil {
		return err
	}
	missed := s.quotes.Stats().MissedRecords
	fmt.Printf("strategy %d: %d orders sent, %d filled, %d quotes missed\n", id, s.sent, s.filled, missed)
	return nil
}

// attach takes the fills first, so that none is published before it reads them.
func (s *strategy) attach(ctx context.Context, c *client.Client, id uint16) (err error) {
	name := fmt.Sprintf("strategy%d", id)
	s.fills, err = c.Consumer(ctx, ringFills, client.ConsumerOptions{Name: name, Tags: []uint16{id}})
	if err != nil {
		return err
	}
	s.orders, err = c.Producer(ctx, ringOrders, client.ProducerOptions{Name: name, Tag: id})
	if err != nil {
		return err
	}
	s.quotes, err = c.Consumer(ctx, ringQuotes, client.ConsumerOptions{Name: name})
	if err != nil {
		return err
	}
	return errors.Join(s.poller.Add(s.fills), s.poller.Add(s.quotes))
}

// run gives each ring its turn whenever it has something.
func (s *strategy) run(ctx context.Context) error {
	for !s.ended || s.filled < s.sent {
		ready, err := s.poller.Wait(ctx)
		if err != nil {
			return err
		}
		if err := s.turn(ctx, ready); err != nil {
			return err
		}
	}
	return nil
}

func (s *strategy) turn(ctx context.Context, r *client.Consumer) error {
	for range turnRecordsMax {
		record, err := r.TryReceive()
		switch {
		case errors.Is(err, client.ErrEmpty):
			return nil
		case errors.Is(err, client.ErrEndOfStream):
			s.ended = s.ended || r == s.quotes
			continue
		case err != nil:
			return err
		}
		if r == s.quotes {
			err = s.onQuote(ctx, record)
		} else {
			err = s.onFill(record)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// onQuote decides. record.Payload is valid until s.quotes is asked again.
func (s *strategy) onQuote(ctx context.Context, record client.Record) error {
	q, err := readQuote(record.Payload)
	if err != nil {
		return err
	}
	if record.Missed+record.Gaps > 0 {
		s.stale = true // what was built from earlier quotes is worth nothing
	}
	if s.stale {
		s.stale = false
		return nil
	}
	if q.bid <= q.ask {
		return nil
	}
	for s.sent-s.filled >= openOrdersMax {
		fill, err := s.fills.Receive(ctx)
		if err != nil {
			return err
		}
		if err := s.onFill(fill); err != nil {
			return err
		}
	}
	order{s.sent, q.ask}.put(s.legs[0])
	order{s.sent + 1, -q.bid}.put(s.legs[1])
	n, err := s.orders.SendBatch(ctx, s.legs[:])
	s.sent += uint64(n)
	return err
}

// onFill counts an order as filled. The gateway may answer one a second time
// after it was killed.
func (s *strategy) onFill(record client.Record) error {
	o, err := readOrder(record.Payload)
	if err != nil {
		return err
	}
	if o.id == s.filled {
		s.filled++
	}
	return nil
}

// close ends what attach has begun, producers first.
func (s *strategy) close() (err error) {
	if s.orders != nil {
		err = s.orders.Close()
	}
	for _, r := range []*client.Consumer{s.quotes, s.fills} {
		if r != nil {
			err = errors.Join(err, r.Close())
		}
	}
	return err
}
