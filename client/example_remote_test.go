package client_test

import (
	"context"
	"errors"
	"fmt"

	"brokerd/client"
)

// exampleGateway starts a daemon with a gateway and the ring orders. A program would
// be told an address, and have certificates: TCPOptions.Cert, Key and CA.
func exampleGateway() (address string, done func()) {
	d, err := newDaemon()
	if err != nil {
		panic(err)
	}
	f := &far{daemon: d}
	f.address, err = freeAddress()
	if err == nil {
		err = f.write("[{name: orders, capacity: 64KiB}]")
	}
	if err == nil {
		err = d.start()
	}
	if err != nil {
		panic(err)
	}
	return f.address, d.remove
}

func ExampleDialTCP() {
	ctx := context.Background()
	address, done := exampleGateway()
	defer done()

	c, err := client.DialTCP(ctx, client.TCPOptions{Address: address, Plain: true, Name: "desk"})
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := c.Consumer(ctx, "orders", client.ConsumerOptions{Name: "audit"})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := c.Producer(ctx, "orders", client.ProducerOptions{Name: "quoter"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(p.Send(ctx, []byte("buy 10")), p.Flush(ctx))
	record, err := r.Receive(ctx)
	fmt.Printf("%s %d %v\n", record.Payload, record.Sequence, err)

	_, err = c.Consumer(ctx, "md", client.ConsumerOptions{})
	fmt.Println(errors.Is(err, client.ErrAccessDenied) || errors.Is(err, client.ErrRingNotFound))
	fmt.Println(c.Close())
	// Output:
	// <nil> <nil>
	// buy 10 0 <nil>
	// true
	// <nil>
}
