package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"brokerd/client"
)

// gateway writes each order down once and answers it with a fill, until ctx ends.
// One that is killed is followed by one that goes on where it stopped.
func gateway(ctx context.Context, c *client.Client, path string) (err error) {
	fills, err := c.Producer(ctx, ringFills, client.ProducerOptions{Name: "gateway"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fills.Close()) }()
	orders, err := c.Consumer(ctx, ringOrders, client.ConsumerOptions{
		Name: "gateway", Policy: client.PolicyBlock, From: client.FromResume(),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, orders.Close()) }()
	j, err := openJournal(path, orders.Epoch())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	fmt.Printf("gateway: resumed %v, from position %d\n", orders.Resumed(), orders.Start())
	for {
		record, err := orders.Receive(ctx)
		var damaged *client.ChecksumError
		switch {
		case errors.Is(err, client.ErrEndOfStream):
			continue // of one strategy; the others go on
		case errors.As(err, &damaged):
			fmt.Fprintln(os.Stderr, "gateway:", err)
			continue // the record is left out
		case err != nil:
			return err
		}
		if err := execute(ctx, j, fills, record); err != nil {
			return err
		}
	}
}

// execute writes an order down, unless that was done before a kill, and fills it.
func execute(ctx context.Context, j *journal, fills *client.Producer, record client.Record) error {
	if record.Gaps > 0 {
		fmt.Fprintf(os.Stderr, "gateway: %d orders before position %d were begun and never sent: their strategy died\n", record.Gaps, record.Position)
	}
	o, err := readOrder(record.Payload)
	if err != nil {
		return err
	}
	if !j.has(record.Position) {
		if err := j.add(record.Position, record.Tag, o); err != nil {
			return err
		}
	}
	fills.SetTag(record.Tag)
	return fills.Send(ctx, record.Payload)
}
