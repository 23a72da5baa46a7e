package prometheus

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// roles are what this binary can be besides a test: processes that are stopped
// or killed. The arguments are the control socket, then a ring.
var roles = harness.Roles{
	"reader":            reader,
	"unfinished record": unfinishedRecord,
}

// sayReady is what a role prints once it has done its part.
const sayReady = "ready"

// play starts a role and waits until it has done its part.
func play(t testing.TB, cmd *exec.Cmd) *harness.Process {
	t.Helper()
	p := harness.Launch(t, cmd)
	p.WaitSaid(sayReady)
	return p
}

// reader reads all there is and waits for more, until it is killed. Its policy
// is the third argument, its name the fourth.
func reader(args []string) error {
	c, err := harness.Dial(args[0])
	if err != nil {
		return err
	}
	r, err := c.Consumer(context.Background(), args[1], client.ConsumerOptions{
		Name: args[3], Policy: client.Policy(args[2]), From: client.FromOldest()})
	if err != nil {
		return err
	}
	fmt.Println(sayReady)
	for {
		if _, err := r.Receive(context.Background()); err != nil {
			return err
		}
	}
}

// unfinishedRecord claims room for a record and never publishes it.
func unfinishedRecord(args []string) error {
	c, err := harness.Dial(args[0])
	if err != nil {
		return err
	}
	p, err := c.Producer(context.Background(), args[1], client.ProducerOptions{Name: "unfinished"})
	if err != nil {
		return err
	}
	if _, err := p.Reserve(context.Background(), recordBytes); err != nil {
		return err
	}
	fmt.Println(sayReady)
	select {}
}

// recordBytes is the size of the records that these tests publish.
const recordBytes = 64

// publish publishes n records.
func publish(t testing.TB, p *client.Producer, n int) {
	t.Helper()
	ctx, payload := harness.Bounded(t), []byte(strings.Repeat("x", recordBytes))
	for range n {
		if err := p.Send(ctx, payload); err != nil {
			t.Fatal(err)
		}
	}
}

// producer attaches to a ring as a producer.
func producer(t testing.TB, c *client.Client, ring string) *client.Producer {
	t.Helper()
	p, err := c.Producer(harness.Bounded(t), ring, client.ProducerOptions{Name: "feed"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
