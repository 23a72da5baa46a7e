package hostile

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// goodRing is the ring beside those that are attacked.
const goodRing = "{name: good, capacity: 1MiB}"

const (
	goodRecordBytes = 64
	windowLong      = 100 * time.Millisecond // in which there must be progress
)

// progress is what the reader of the good ring tells.
type progress struct {
	Records uint64
	Windows int           // of 100 ms
	Idle    int           // of those, without a record
	Longest time.Duration // between two records
}

// honest is a role. Arguments: socket, ring, for how long, or for how long at most.
func honest(live func(ctx context.Context, c *client.Client, ring string, d time.Duration) error) func(args []string) error {
	return func(args []string) error {
		d, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		c, err := harness.Dial(args[0])
		if err != nil {
			return err
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), d+harness.Patience)
		defer cancel()
		return live(ctx, c, args[1], d)
	}
}

// feedWell publishes numbered records as fast as the readers let it.
func feedWell(ctx context.Context, c *client.Client, ring string, d time.Duration) error {
	p, err := c.Producer(ctx, ring, client.ProducerOptions{Name: "good"})
	if err != nil {
		return err
	}
	fmt.Println(sayReady)
	record := make([]byte, goodRecordBytes)
	for begin, n := time.Now(), uint64(0); time.Since(begin) < d; {
		for range 1000 {
			binary.LittleEndian.PutUint64(record, n)
			if err := p.Send(ctx, record); err != nil {
				return err
			}
			n++
		}
	}
	return errors.Join(p.End(ctx), p.Close())
}

// sayReady is what a role prints once it is attached.
const sayReady = "ready"

// readWell reads to the end, checks that no record is missing, and prints its
// progress.
func readWell(ctx context.Context, c *client.Client, ring string, _ time.Duration) error {
	r, err := c.Consumer(ctx, ring, client.ConsumerOptions{Policy: client.PolicyBlock, From: client.FromOldest(), Name: "good"})
	if err != nil {
		return err
	}
	fmt.Println(sayReady)
	var got progress
	var first, last time.Time
	seen := map[int]bool{}
	for {
		record, err := r.Receive(ctx)
		if errors.Is(err, client.ErrEndOfStream) {
			break
		}
		if err != nil {
			return err
		}
		if n := binary.LittleEndian.Uint64(record.Payload); n != got.Records || record.Missed+record.Gaps != 0 {
			return fmt.Errorf("record %d came with %d missed and %d in gaps before it, want record %d", n, record.Missed, record.Gaps, got.Records)
		}
		got.Records++
		if got.Records%64 != 1 {
			continue // a look at the clock costs as much as a record
		}
		now := time.Now()
		if first.IsZero() {
			first, last = now, now
		}
		got.Longest, last = max(got.Longest, now.Sub(last)), now
		seen[int(now.Sub(first)/windowLong)] = true
	}
	got.Windows = int(last.Sub(first) / windowLong)
	for w := range got.Windows {
		if !seen[w] {
			got.Idle++
		}
	}
	return errors.Join(json.NewEncoder(os.Stdout).Encode(got), r.Close())
}
