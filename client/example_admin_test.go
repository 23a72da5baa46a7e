package client_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"brokerd/client"
)

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

func ExampleClient_Links() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()

	links, err := c.Links(ctx)
	for _, l := range links.Links {
		if l.State != client.LinkConnected {
			fmt.Println(l.Peer, l.Ring, l.State, l.Reason)
		}
	}
	fmt.Println(len(links.Links), err)
	// Output:
	// 0 <nil>
}

func ExampleClient_Reload() {
	ctx := context.Background()
	c, done := exampleClient(ctx)
	defer done()

	out, err := c.Reload(ctx)
	if errors.Is(err, client.ErrInvalidConfig) {
		fmt.Println("nothing was changed:", err)
	}
	fmt.Println(len(out.Changed), len(out.Kept), err)
	// Output:
	// 0 0 <nil>
}
