package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// roles are what this binary can be besides a test. The first argument is the
// control socket.
var roles = harness.Roles{
	"spinning producer": spinningProducer,
	"spinning consumer": spinningConsumer,
	"numbering":         numbering,
	"stranger":          stranger,
	"guest":             guest,
	"churn":             churn,
	"journaling":        journaling,
	"claiming":          claiming,
}

// sayAttached is what a role prints once its reader holds the ring: its gate is
// there, which a little before, when it is listed, it is not.
const sayAttached = "attached"

// roleDial connects in a role, and gives it its time.
func roleDial(socket string) (context.Context, context.CancelFunc, *client.Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*harness.Patience)
	c, err := harness.Dial(socket)
	return ctx, cancel, c, err
}

// countRecordBytes is the size of the records of the roles that count.
const countRecordBytes = 64

// spinningProducer publishes as many records as the second argument says, once
// there is somebody to read them.
func spinningProducer(args []string) error {
	ctx, cancel, c, err := roleDial(args[0])
	defer cancel()
	if err != nil {
		return err
	}
	n, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	p, err := c.Producer(ctx, "md", client.ProducerOptions{WaitStrategy: client.WaitSpin})
	if err != nil {
		return err
	}
	var record [countRecordBytes]byte
	for i := range n {
		binary.LittleEndian.PutUint64(record[:], i)
		if err := p.Send(ctx, record[:]); err != nil {
			return err
		}
	}
	return errors.Join(p.End(ctx), c.Close())
}

// spinningConsumer receives them and checks that none is missing.
func spinningConsumer(args []string) error {
	ctx, cancel, c, err := roleDial(args[0])
	defer cancel()
	if err != nil {
		return err
	}
	r, err := c.Consumer(ctx, "md", client.ConsumerOptions{
		WaitStrategy: client.WaitSpin, Policy: client.PolicyBlock, From: client.FromOldest()})
	if err != nil {
		return err
	}
	fmt.Println(sayAttached)
	next := uint64(0)
	for {
		record, err := r.Receive(ctx)
		if errors.Is(err, client.ErrEndOfStream) {
			break
		}
		if err != nil {
			return err
		}
		if got := binary.LittleEndian.Uint64(record.Payload); got != next {
			return fmt.Errorf("record %d came, want %d", got, next)
		}
		next++
	}
	if args[1] != strconv.FormatUint(next, 10) {
		return fmt.Errorf("%d records came, want %s", next, args[1])
	}
	return c.Close()
}

// TestUnknownRoleFails keeps a misspelt role from passing as a good one.
func TestUnknownRoleFails(t *testing.T) {
	p := place{harness.Place{T: t, Binaries: binaries, Socket: "/nonexistent"}}
	harness.Launch(t, p.Role("nobody")).Expect(1)
}
