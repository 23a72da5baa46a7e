package main

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"
	"time"

	"brokerd/client"
)

// dialTimeMax is how long a role waits for the daemon, which has just been started.
const dialTimeMax = 5 * time.Second

// ringConsumer attaches to a ring; the caller closes the client.
func ringConsumer(ctx context.Context, socket, ring string, o client.ConsumerOptions) (*client.Client, *client.Consumer, error) {
	c, err := client.Dial(ctx, client.Options{Socket: socket, WaitFor: dialTimeMax})
	if err != nil {
		return nil, nil, err
	}
	r, err := c.Consumer(ctx, ring, o)
	if err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	return c, r, nil
}

// ringProducer is the same for a producer.
func ringProducer(ctx context.Context, socket, ring string, o client.ProducerOptions) (*client.Client, *client.Producer, error) {
	c, err := client.Dial(ctx, client.Options{Socket: socket, WaitFor: dialTimeMax})
	if err != nil {
		return nil, nil, err
	}
	p, err := c.Producer(ctx, ring, o)
	if err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	return c, p, nil
}

// ringHear reads records and gives the p50 of their age in ns. args: socket, ring, how many.
func ringHear(args []string) (float64, error) {
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return 0, err
	}
	ctx := context.Background()
	c, r, err := ringConsumer(ctx, args[0], args[1], client.ConsumerOptions{Name: "hear", WaitStrategy: client.WaitPark})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ready("")
	ages := newAges(count)
	for range count {
		record, err := r.Receive(ctx)
		if err != nil {
			return 0, err
		}
		ages.add(now() - int64(binary.LittleEndian.Uint64(record.Payload)))
	}
	return ages.median(), nil
}

// ringSay publishes records at fixed instants. args: socket, ring, how many, ns between two.
func ringSay(args []string) (float64, error) {
	ctx := context.Background()
	c, p, err := ringProducer(ctx, args[0], args[1], client.ProducerOptions{Name: "say"})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ready("")
	buf := make([]byte, payloadBytes)
	return 0, pace(args[2:], func() error {
		binary.LittleEndian.PutUint64(buf, uint64(now()))
		return p.Send(ctx, buf)
	})
}

// ringCount receives records one by one until the end of the stream: millions a second, from the
// first to the last. args: socket, ring.
func ringCount(args []string) (float64, error) {
	ctx := context.Background()
	c, r, err := ringConsumer(ctx, args[0], args[1], client.ConsumerOptions{Name: "count", Policy: client.PolicyBlock})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ready("")
	if _, err := r.Receive(ctx); err != nil {
		return 0, err
	}
	begin, n := time.Now(), 0
	for {
		record, err := r.Receive(ctx)
		switch {
		case errors.Is(err, client.ErrEndOfStream):
			return float64(n) / float64(time.Since(begin).Microseconds()), nil
		case err != nil:
			return 0, err
		case record.Missed+record.Gaps > 0:
			return 0, errors.New("records were lost on the way: the comparison is with lossless peers")
		}
		n++
	}
}

// ringFlood publishes args[2] records one by one, and the end. args: socket, ring.
func ringFlood(args []string) (float64, error) {
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return 0, err
	}
	ctx := context.Background()
	c, p, err := ringProducer(ctx, args[0], args[1], client.ProducerOptions{Name: "flood"})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	ready("")
	buf := make([]byte, payloadBytes)
	for i := range count {
		binary.LittleEndian.PutUint64(buf, uint64(i))
		if err := p.Send(ctx, buf); err != nil {
			return 0, err
		}
	}
	return 0, p.End(ctx)
}

// fill publishes records of 64 bytes until the ring has moved on by at least so many bytes, with nobody
// in the way, and returns the position behind them.
func fill(ctx context.Context, socket, ring string, bytes uint64) (uint64, error) {
	c, p, err := ringProducer(ctx, socket, ring, client.ProducerOptions{Name: "fill", OnFull: client.OnFullFail})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	batch := make([][]byte, 64)
	for i := range batch {
		batch[i] = make([]byte, payloadBytes)
	}
	for end := p.Position() + bytes; p.Position() < end; {
		if _, err := p.SendBatch(ctx, batch); err != nil {
			return 0, err
		}
	}
	return p.Position(), nil
}
