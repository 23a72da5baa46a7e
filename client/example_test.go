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
