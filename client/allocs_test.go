//go:build !race

package client_test

import (
	"testing"

	"brokerd/client"
)

// TestNoAllocations is about the path that records take, waiting included.
func TestNoAllocations(t *testing.T) {
	for _, policy := range []client.Policy{client.PolicyBlock, client.PolicySkip} {
		_, p, r := pair(t, client.ProducerOptions{BlockTimeout: waitMax}, client.ConsumerOptions{Policy: policy})
		ctx, payload := t.Context(), make([]byte, 100)
		var failed error
		note := func(err error) {
			if err != nil {
				failed = err
			}
		}
		allocs := testing.AllocsPerRun(10_000, func() {
			note(p.Send(ctx, payload))
			_, err := r.Receive(ctx)
			note(err)
			buf, err := p.Reserve(ctx, len(payload))
			note(err)
			copy(buf, payload)
			note(p.Commit())
			_, err = r.TryReceive()
			note(err)
			if _, err = r.TryReceive(); err != client.ErrEmpty {
				note(err)
			}
		})
		if allocs != 0 || failed != nil {
			t.Errorf("policy %s: %v allocations a round, %v", policy, allocs, failed)
		}
	}
}

// TestPollerNoAllocations is about readers that have something to say.
func TestPollerNoAllocations(t *testing.T) {
	poller, producers, _ := polled(t, dialDaemon(t, startDaemon(t)), 3, "")
	ctx, payload := t.Context(), make([]byte, 100)
	var failed error
	allocs := testing.AllocsPerRun(10_000, func() {
		for _, p := range producers {
			if err := p.Send(ctx, payload); err != nil {
				failed = err
			}
			r, err := poller.Wait(ctx)
			if err == nil {
				_, err = r.TryReceive()
			}
			if err != nil {
				failed = err
			}
		}
	})
	if allocs != 0 || failed != nil {
		t.Errorf("%v allocations a round, %v", allocs, failed)
	}
}
