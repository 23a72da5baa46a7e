package limits

import (
	"context"
	"fmt"
	"os"

	"brokerd/client"
)

// playRole is what the test binary does when it has started itself: a client that
// attaches, says so and waits to be killed. Its argument is the socket.
func playRole(role string, args []string) int {
	err := fmt.Errorf("no role is called %q", role)
	if role == "victim" {
		err = victim(args[0])
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func victim(socket string) error {
	ctx := context.Background()
	c, err := client.Dial(ctx, client.Options{Socket: socket})
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
