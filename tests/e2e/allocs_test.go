//go:build !race

package e2e

import (
	"context"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestNoAllocations is about every way to send and to receive, by every policy,
// through rings of a real daemon.
func TestNoAllocations(t *testing.T) {
	p := newPlace(t, "[{name: block, capacity: 256KiB}, {name: demote, capacity: 256KiB}, {name: skip, capacity: 256KiB}]")
	p.Start()
	c := p.Dial()
	for _, policy := range []client.Policy{client.PolicyBlock, client.PolicyDemote, client.PolicySkip} {
		t.Run(string(policy), func(t *testing.T) { noAllocations(t, c, policy) })
	}
}

func noAllocations(t *testing.T, c *client.Client, policy client.Policy) {
	ring := string(policy)
	p, err := c.Producer(harness.Bounded(t), ring, client.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Consumer(harness.Bounded(t), ring, client.ConsumerOptions{Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	payload := make([]byte, 100)
	batch := [][]byte{payload, payload, payload}
	seen := 0
	look := func(client.Record) error { seen++; return nil }
	var failed error
	note := func(err error) {
		if err != nil && failed == nil {
			failed = err
		}
	}
	receive := func() { _, err := r.Receive(ctx); note(err) }
	try := func() { _, err := r.TryReceive(); note(err) }
	for _, way := range []struct {
		name string
		run  func()
	}{
		{"Send, Receive", func() { note(p.Send(ctx, payload)); receive() }},
		{"TrySend, TryReceive", func() { note(p.TrySend(payload)); try() }},
		{"Reserve, Commit, Receive", func() { _, err := p.Reserve(ctx, len(payload)); note(err); note(p.Commit()); receive() }},
		{"Reserve, Abort", func() { _, err := p.Reserve(ctx, len(payload)); note(err); p.Abort() }},
		{"SendBatch, Poll", func() {
			_, err := p.SendBatch(ctx, batch)
			note(err)
			_, err = r.Poll(look, len(batch))
			note(err)
		}},
		{"TryReceive of nothing", func() {
			if _, err := r.TryReceive(); err != client.ErrEmpty {
				note(err)
			}
		}},
	} {
		if allocs := testing.AllocsPerRun(5000, way.run); allocs != 0 || failed != nil {
			t.Errorf("%s: %v allocations a run, %v", way.name, allocs, failed)
		}
	}
	if seen != 3*5001 { // AllocsPerRun runs once more, to warm up
		t.Errorf("Poll showed %d records, want %d", seen, 3*5001)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
