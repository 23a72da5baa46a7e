package limits

import (
	"context"
	"fmt"

	"brokerd/client"
)

// victim is a role: a client that attaches, says so and waits to be killed. Its
// argument is the socket.
func victim(args []string) error {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Options{Socket: args[0]})
	if err != nil {
		return err
	}
	p, err := c.Producer(ctx, "md", client.ProducerOptions{OnFull: client.OnFullDrop})
	if err != nil {
		return err
	}
	if _, err := c.Consumer(ctx, "md", client.ConsumerOptions{Policy: client.PolicyBlock}); err != nil {
		return err
	}
	if _, err := p.Reserve(ctx, 16); err != nil { // to be repaired
		return err
	}
	fmt.Println("attached")
	select {}
}
