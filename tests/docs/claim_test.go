package docs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// gapAfterMax is what docs/CHOOSING.md promises, on a machine that has time.
const gapAfterMax = 100 * time.Millisecond

// claimTries bounds how often the fastest of several tries is looked for: the
// machine may be busy.
const claimTries = 5

// claiming is a role: a producer that claims a record and never publishes it. Its
// argument is the control socket.
func claiming(args []string) error {
	c, err := harness.Dial(args[0])
	if err != nil {
		return err
	}
	ctx := context.Background()
	p, err := c.Producer(ctx, "orders", client.ProducerOptions{})
	if err != nil {
		return err
	}
	if _, err := p.Reserve(ctx, 100); err != nil {
		return err
	}
	fmt.Println("claimed")
	select {}
}

// TestAClaimHoldsReadersUntilItsProducerDies: a stopped producer with an open claim
// stalls readers there, for as long as it is stopped; once it is killed the claim
// is a gap, and soon.
func TestAClaimHoldsReadersUntilItsProducerDies(t *testing.T) {
	p := harness.NewPlace(t, binaries, "[{name: orders, capacity: 64KiB, producers: many}]")
	p.Start()
	c := p.Dial()
	ctx, cancel := context.WithTimeout(t.Context(), 2*harness.Patience)
	defer cancel()
	r, err := c.Consumer(ctx, "orders", client.ConsumerOptions{Policy: client.PolicySkip}) // so that the claim alone holds
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.Producer(ctx, "orders", client.ProducerOptions{OnFull: client.OnFullFail})
	if err != nil {
		t.Fatal(err)
	}
	var took []time.Duration
	for range claimTries {
		holder := harness.Launch(t, p.Role("claiming"))
		holder.WaitSaid("claimed")
		holder.Stop()
		sent := fill(ctx, t, other)
		if _, err := r.TryReceive(); !errors.Is(err, client.ErrEmpty) {
			t.Fatalf("in front of an open claim the reader got %v", err)
		}
		begin := time.Now()
		holder.Kill()
		record, err := r.Receive(ctx)
		if took = append(took, time.Since(begin)); err != nil || record.Gaps != 1 {
			t.Fatalf("behind the claim of a dead producer: gaps %d, %v", record.Gaps, err)
		}
		for range sent - 1 {
			if _, err := r.Receive(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("from kill -9 to the next record: %v", took)
	if slices.Min(took) > gapAfterMax {
		t.Errorf("it took %v, each time more than %v", took, gapAfterMax)
	}
}

// fill publishes until the open claim, a lap behind by then, holds the producer.
func fill(ctx context.Context, t *testing.T, p *client.Producer) (sent int) {
	t.Helper()
	payload := make([]byte, 1000)
	for {
		err := p.Send(ctx, payload)
		if errors.Is(err, client.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		sent++
	}
	if bytes := sent * len(payload); bytes < 32<<10 || bytes > 64<<10 {
		t.Errorf("%d bytes went in behind the open claim, want about a lap of 64KiB", bytes)
	}
	return sent
}
