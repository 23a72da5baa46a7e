package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"brokerd/client"
)

func ExampleClient_Producer() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	if _, err := c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 64 << 10}); err != nil {
		fmt.Println(err)
	}

	p, err := c.Producer(ctx, "md", client.ProducerOptions{Name: "feed"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Send(ctx, []byte("one")))
	// Without a copy: fill the record where it lies.
	if buf, err := p.Reserve(ctx, 3); err == nil {
		copy(buf, "two")
		fmt.Println(p.Commit())
	}
	fmt.Println(p.SendBatch(ctx, [][]byte{[]byte("three"), []byte("four")}))
	fmt.Println(p.Sequence(), p.Stats().Bytes, p.Close())
	// Output:
	// <nil>
	// <nil>
	// 2 <nil>
	// 4 15 <nil>
}

func ExampleClient_Consumer() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	if _, err := c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 64 << 10}); err != nil {
		fmt.Println(err)
	}
	p, err := c.Producer(ctx, "md", client.ProducerOptions{})
	if err == nil {
		_, err = p.SendBatch(ctx, [][]byte{[]byte("one"), []byte("two")})
	}
	if err == nil {
		err = p.End(ctx)
	}
	if err != nil {
		fmt.Println(err)
	}

	r, err := c.Consumer(ctx, "md", client.ConsumerOptions{
		Name: "book", Policy: client.PolicyBlock, From: client.FromOldest(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for record, err := range r.Records(ctx) {
		if errors.Is(err, client.ErrEndOfStream) {
			break // or go on: more may follow
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(record.Sequence, string(record.Payload))
	}
	_, err = r.TryReceive()
	fmt.Println(errors.Is(err, client.ErrEmpty), r.Close())
	// Output:
	// 0 one
	// 1 two
	// true <nil>
}

func ExampleConsumer_Poll() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	if _, err := c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 64 << 10}); err != nil {
		fmt.Println(err)
	}
	r, err := c.Consumer(ctx, "md", client.ConsumerOptions{Policy: client.PolicySkip})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := c.Producer(ctx, "md", client.ProducerOptions{})
	if err == nil {
		_, err = p.SendBatch(ctx, [][]byte{[]byte("one"), []byte("two")})
	}
	fmt.Println(err)

	total := 0
	n, err := r.Poll(func(record client.Record) error {
		total += len(record.Payload) // a view: use it here, keep nothing
		return nil
	}, 100)
	fmt.Println(n, total, err)
	// Output:
	// <nil>
	// 2 6 <nil>
}

// ExampleFromResume restarts a reader that must lose nothing: the ring keeps its
// cursor for as long as resume_for says.
func ExampleFromResume() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	keep := (30 * time.Second).Nanoseconds()
	if _, err := c.CreateRing(ctx, client.RingSpec{Name: "fills", Capacity: 64 << 10, ResumeForNS: &keep}); err != nil {
		fmt.Println(err)
	}
	p, err := c.Producer(ctx, "fills", client.ProducerOptions{})
	if err == nil {
		_, err = p.SendBatch(ctx, [][]byte{[]byte("one"), []byte("two"), []byte("three")})
	}
	if err != nil {
		fmt.Println(err)
		return
	}

	for range 3 {
		r, err := c.Consumer(ctx, "fills", client.ConsumerOptions{
			Name: "risk", Policy: client.PolicyBlock, From: client.FromResume(),
		})
		if err != nil {
			fmt.Println(err) // errors.Is(err, client.ErrCursorInUse): the earlier one still lives
			return
		}
		record, err := r.Receive(ctx)
		fmt.Println(r.Resumed(), record.Sequence, string(record.Payload), record.Missed, err)
		// Close, or a crash, which leaves the cursor as well.
		if err := r.Close(); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// false 0 one 0 <nil>
	// true 1 two 0 <nil>
	// true 2 three 0 <nil>
}

// ExamplePoller reads several rings in one goroutine.
func ExamplePoller() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	poller := client.NewPoller(client.PollerOptions{WaitStrategy: client.WaitPark})
	for _, ring := range []string{"md", "fills"} {
		if _, err := c.CreateRing(ctx, client.RingSpec{Name: ring, Capacity: 64 << 10}); err != nil {
			fmt.Println(err)
			return
		}
		r, err := c.Consumer(ctx, ring, client.ConsumerOptions{WaitStrategy: client.WaitPark})
		if err == nil {
			err = poller.Add(r)
		}
		var p *client.Producer
		if err == nil {
			p, err = c.Producer(ctx, ring, client.ProducerOptions{})
		}
		if err == nil {
			err = errors.Join(p.Send(ctx, []byte("one of "+ring)), p.End(ctx))
		}
		if err != nil {
			fmt.Println(err)
			return
		}
	}

	for poller.Len() > 0 {
		r, err := poller.Wait(ctx)
		if err != nil {
			fmt.Println(err) // ctx has ended
			return
		}
		switch record, err := r.TryReceive(); {
		case errors.Is(err, client.ErrEmpty): // nothing after all
		case err != nil: // the end of the stream, or of the attachment
			fmt.Println(r.Ring().Name, err)
			poller.Remove(r)
			if err := r.Close(); err != nil {
				fmt.Println(err)
			}
		default:
			fmt.Println(r.Ring().Name, string(record.Payload))
		}
	}
	// Unordered output:
	// md one of md
	// fills one of fills
	// md end of stream
	// fills end of stream
}

// ExampleProducer_SetTag lets readers choose without a look at payloads.
func ExampleProducer_SetTag() {
	const trades, quotes = 1, 2
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	if _, err := c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 64 << 10}); err != nil {
		fmt.Println(err)
	}
	r, err := c.Consumer(ctx, "md", client.ConsumerOptions{Tags: []uint16{trades}})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := c.Producer(ctx, "md", client.ProducerOptions{Tag: quotes})
	if err == nil {
		err = p.Send(ctx, []byte("a quote"))
	}
	if err == nil {
		p.SetTag(trades)
		err = p.Send(ctx, []byte("a trade"))
	}
	fmt.Println(err)

	record, err := r.Receive(ctx)
	fmt.Println(record.Tag, string(record.Payload), r.Stats().Filtered, err)
	// Output:
	// <nil>
	// 1 a trade 1 <nil>
}

func ExampleRemovedError() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	before, err := c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 64 << 10})
	if err != nil {
		fmt.Println(err)
	}
	r, err := c.Consumer(ctx, "md", client.ConsumerOptions{})
	if err == nil {
		err = c.RemoveRing(ctx, "md", true)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	now, err := c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 64 << 10})
	if err != nil {
		fmt.Println(err)
	}

	_, err = r.Receive(ctx)
	var removed *client.RemovedError
	if errors.As(err, &removed) && removed.Current != 0 {
		fmt.Println(removed.Ring, removed.Epoch == before.Epoch, removed.Current == now.Epoch)
		// Close r, and attach again: the records of the new ring begin anew.
	}
	// Output:
	// md true true
}
