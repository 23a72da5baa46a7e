package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"brokerd/client"
)

// exampleClient connects to a daemon of its own. A program would call
// client.Dial(ctx, client.Options{}).
func exampleClient(ctx context.Context) (c *client.Client, done func()) {
	d, err := newDaemon()
	if err == nil {
		err = d.start()
	}
	if err == nil {
		c, err = client.Dial(ctx, client.Options{Socket: d.socket})
	}
	if err != nil {
		panic(err)
	}
	return c, func() {
		if err := c.Close(); err != nil {
			fmt.Println("close:", err)
		}
		d.remove()
	}
}

func ExampleDial() {
	_, err := client.Dial(context.Background(), client.Options{Socket: "/nowhere/control.sock", WaitFor: 50 * time.Millisecond})
	fmt.Println(errors.Is(err, client.ErrUnreachable))
	fmt.Println(err)
	// Output:
	// true
	// brokerd is unreachable: connect to /nowhere/control.sock: socket does not exist: start brokerd, or name another socket (the service of a host listens on /run/brokerd/control.sock) (waited 50ms)
}

func ExampleClient_CreateRing() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()

	ring, err := c.CreateRing(ctx, client.RingSpec{
		Name:     "md",
		Capacity: 1 << 20,
		Policy:   client.PolicyBlock,
		Allow:    &client.Allow{Consume: &client.Principals{Groups: []string{"1002"}}},
	})
	fmt.Println(ring.Name, ring.Capacity, ring.RecordMax, ring.Policy, err)

	_, err = c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 1 << 20})
	fmt.Println(errors.Is(err, client.ErrRingExists), err)
	// Output:
	// md 1048576 65536 block <nil>
	// true ring md exists already: use it, or remove it first (brokerctl ring rm md)
}

func ExampleClient_Rings() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	for _, name := range []string{"orders", "md"} {
		if _, err := c.CreateRing(ctx, client.RingSpec{Name: name, Capacity: 64 << 10}); err != nil {
			fmt.Println(err)
		}
	}

	rings, err := c.Rings(ctx)
	for _, r := range rings {
		fmt.Println(r.Name, r.Capacity, r.Policy)
	}
	fmt.Println(err)
	// Output:
	// md 65536 demote
	// orders 65536 demote
	// <nil>
}

func ExampleClient_DescribeRing() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	if _, err := c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 64 << 10}); err != nil {
		fmt.Println(err)
	}

	d, err := c.DescribeRing(ctx, "md")
	fmt.Println(d.Ring.Name, d.Stats.State, d.Stats.Sequence, len(d.Attachments), err)
	_, err = c.DescribeRing(ctx, "nd")
	fmt.Println(errors.Is(err, client.ErrRingNotFound))
	// Output:
	// md live 0 0 <nil>
	// true
}

func ExampleClient_RemoveRing() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	if _, err := c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 64 << 10}); err != nil {
		fmt.Println(err)
	}
	r, err := c.Consumer(ctx, "md", client.ConsumerOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println(errors.Is(c.RemoveRing(ctx, "md", false), client.ErrRingInUse))
	fmt.Println(c.RemoveRing(ctx, "md", true))
	_, err = r.Receive(ctx)
	fmt.Println(errors.Is(err, client.ErrRemoved))
	fmt.Println(r.Close())
	// Output:
	// true
	// <nil>
	// true
	// <nil>
}

func ExampleClient_WaitRing() {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	c, done := exampleClient(context.Background())
	defer done()

	err := c.WaitRing(ctx, "md")
	fmt.Println(errors.Is(err, client.ErrRingNotFound), errors.Is(err, context.DeadlineExceeded))
	// Output:
	// true true
}

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

func ExampleClient_Attachments() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	if _, err := c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 64 << 10}); err != nil {
		fmt.Println(err)
	}
	r, err := c.Consumer(ctx, "md", client.ConsumerOptions{Name: "book"})
	if err != nil {
		fmt.Println(err)
		return
	}

	list, err := c.Attachments(ctx, "md")
	for _, a := range list {
		fmt.Println(a.ID == r.ID(), a.Name, a.Role, a.State, a.Policy, a.LagBytes)
	}
	fmt.Println(err)
	// Output:
	// true book consumer attached demote 0
	// <nil>
}

func ExampleClient_Detach() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	if _, err := c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 64 << 10}); err != nil {
		fmt.Println(err)
	}
	r, err := c.Consumer(ctx, "md", client.ConsumerOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println(c.Detach(ctx, r.ID()))
	_, err = r.Receive(ctx)
	fmt.Println(errors.Is(err, client.ErrDetached))
	fmt.Println(errors.Is(c.Detach(ctx, "md/c9.9"), client.ErrAttachmentNotFound))
	// Output:
	// <nil>
	// true
	// true
}

func ExampleClient_Stats() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	if _, err := c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 64 << 10}); err != nil {
		fmt.Println(err)
	}

	s, err := c.Stats(ctx, "")
	for _, r := range s.Rings {
		fmt.Println(r.Name, r.State, r.Sequence, r.OccupancyBytes)
	}
	fmt.Println(len(s.Attachments), err)
	// Output:
	// md live 0 0
	// 0 <nil>
}

func ExampleClient_WatchStats() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()
	if _, err := c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 64 << 10}); err != nil {
		fmt.Println(err)
	}

	n := 0
	for s, err := range c.WatchStats(ctx, "md", 10*time.Millisecond) {
		fmt.Println(len(s.Rings), err)
		if n++; n == 3 {
			break
		}
	}
	// Output:
	// 1 <nil>
	// 1 <nil>
	// 1 <nil>
}

func ExampleClient_Status() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()

	s, err := c.Status(ctx)
	fmt.Println(s.State, s.Rings, s.Problems, err)
	// Output:
	// ready 0 [] <nil>
}
