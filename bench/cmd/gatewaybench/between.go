package main

import (
	"context"
	"fmt"
	"strconv"

	"brokerd/client"
)

// between is a pair of daemons that mirror a ring of 16 MiB from a to b.
type between struct {
	hosts
	b          *bench
	busy       bool
	timestamps bool // in the records
}

func (w *between) setUp(ctx context.Context) (err error) {
	if w.a != nil {
		return nil
	}
	if w.hosts, err = w.b.newHosts(); err != nil {
		return err
	}
	gateway := fmt.Sprintf("gateway:\n  name: a\n  busy_poll: %t\n  listen: %s\n  tls: off\n  export: [feed]\n  peers: [{name: b, allow: {gate: [feed]}}]\n", w.busy, w.a.address)
	if err := w.a.start(ctx, gateway+"rings:\n"+w.b.ring("feed", 16<<20, w.timestamps)); err != nil {
		return err
	}
	peer := fmt.Sprintf("gateway:\n  name: b\n  busy_poll: %t\n  tls: off\n  peers: [{name: a, address: %q, mirror: [{ring: feed, policy: block, allow: {consume: {users: [root]}, gate: {users: [root]}}}]}]\n", w.busy, w.a.address)
	if err := w.z.start(ctx, peer); err != nil {
		return err
	}
	c, err := client.Dial(ctx, client.Options{Socket: w.z.socket()})
	if err != nil {
		return err
	}
	defer c.Close()
	return waitPosition(ctx, c, "feed", 0, func(uint64) {})
}

// latency is the p50, in ns, from a publish on a to a parked reader's receipt on b.
func (w *between) latency(ctx context.Context) (float64, error) {
	if err := w.setUp(ctx); err != nil {
		return 0, err
	}
	count, gap := w.b.pacing()
	return both(ctx, "ring-hear", "ring-say", []string{w.z.socket(), "feed", count}, []string{w.a.socket(), "feed", count, gap})
}

// rate is millions of records a second, lossless, published one by one on a and received one by one on b.
func (w *between) rate(ctx context.Context) (float64, error) {
	if err := w.setUp(ctx); err != nil {
		return 0, err
	}
	return both(ctx, "ring-count", "ring-flood", []string{w.z.socket(), "feed"}, []string{w.a.socket(), "feed", strconv.Itoa(w.b.sizes.records)})
}
