package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"brokerd/client"
)

// mirroring measures how fast a mirror catches up, in GB/s of ring bytes: 64-byte records with their
// headers and timestamps. What is to be mirrored stands in the ring when the link comes up, so nothing
// else takes part; the first tenth is left out. The mirror's ring exists and has been written before.
type mirroring struct {
	b    *bench
	tls  bool
	a, z *host
	end  uint64 // position of the origin
}

func (m *mirroring) setUp(ctx context.Context) (err error) {
	if m.a != nil {
		return nil
	}
	if m.a, err = m.b.newHost("a", "0"); err != nil {
		return err
	}
	if m.z, err = m.b.newHost("b", "1"); err != nil {
		return err
	}
	gateway := fmt.Sprintf("gateway:\n  name: a\n  listen: %s\n  tls: %s\n  export: [feed]\n  peers: [{name: b}]\n", m.a.address, m.a.tls(m.tls))
	if err := m.a.start(ctx, gateway+"rings:\n"+m.b.ring("feed", m.b.sizes.capacity, true)); err != nil {
		return err
	}
	_, err = m.run(ctx) // a lap that touches every page
	return err
}

func (m *mirroring) done() {
	if m.a != nil {
		m.a.remove()
		m.z.remove()
		m.a, m.z = nil, nil
	}
}

// figure is one run.
func (m *mirroring) figure(ctx context.Context) (float64, error) {
	if err := m.setUp(ctx); err != nil {
		return 0, err
	}
	return m.run(ctx)
}

// quietBytesPerNano is faster than any mirror: for so long it is not asked where it is.
const quietBytesPerNano = 5

func (m *mirroring) run(ctx context.Context) (rate float64, err error) {
	begin := m.end
	if m.end, err = fill(ctx, m.a.socket(), "feed", m.b.sizes.bytes); err != nil {
		return 0, err
	}
	peer := fmt.Sprintf("gateway:\n  name: b\n  tls: %s\n  peers: [{name: a, address: %q, mirror: [feed]}]\n", m.z.tls(m.tls), m.a.address)
	if err := m.z.start(ctx, peer); err != nil {
		return 0, err
	}
	c, err := client.Dial(ctx, client.Options{Socket: m.z.socket()})
	if err != nil {
		return 0, err
	}
	from := begin + (m.end-begin)/10
	var first, at uint64
	var since, last time.Time
	err = waitPosition(ctx, c, "feed", m.end, func(pos uint64) {
		if pos >= from && since.IsZero() {
			first, since = pos, time.Now()
			time.Sleep(time.Duration((m.end - first) / quietBytesPerNano)) // answers take the mirror's time
			return
		}
		at, last = pos, time.Now()
	})
	_ = c.Close() // nothing was attached
	if err != nil {
		return 0, err
	}
	return float64(at-first) / float64(last.Sub(since).Nanoseconds()), m.z.stop()
}

// bare is the same number of bytes over a bare stream, in GB/s.
func (m *mirroring) bare(ctx context.Context) (float64, error) {
	certs := ""
	if m.tls {
		certs = m.b.certs
	}
	return both(ctx, "tcp-receive", "tcp-send", []string{certs}, []string{strconv.FormatUint(m.b.sizes.bytes, 10), certs})
}

// between is a pair of daemons that mirror a ring of 16 MiB from a to b.
type between struct {
	b          *bench
	busy       bool
	timestamps bool // in the records
	a, z       *host
}

func (w *between) setUp(ctx context.Context) (err error) {
	if w.a != nil {
		return nil
	}
	if w.a, err = w.b.newHost("a", "0"); err != nil {
		return err
	}
	if w.z, err = w.b.newHost("b", "1"); err != nil {
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
	count, gap := strconv.Itoa(w.b.sizes.messages), strconv.FormatInt(w.b.sizes.gapNanos, 10)
	return both(ctx, "ring-hear", "ring-say", []string{w.z.socket(), "feed", count}, []string{w.a.socket(), "feed", count, gap})
}

// rate is millions of records a second, lossless, published one by one on a and received one by one on b.
func (w *between) rate(ctx context.Context) (float64, error) {
	if err := w.setUp(ctx); err != nil {
		return 0, err
	}
	return both(ctx, "ring-count", "ring-flood", []string{w.z.socket(), "feed"}, []string{w.a.socket(), "feed", strconv.Itoa(w.b.sizes.records)})
}

func (w *between) done() {
	if w.a != nil {
		w.a.remove()
		w.z.remove()
		w.a, w.z = nil, nil
	}
}
