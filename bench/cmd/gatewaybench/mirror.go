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
	hosts
	b   *bench
	tls bool
	end uint64 // position of the origin
}

func (m *mirroring) setUp(ctx context.Context) (err error) {
	if m.a != nil {
		return nil
	}
	if m.hosts, err = m.b.newHosts(); err != nil {
		return err
	}
	gateway := fmt.Sprintf("gateway:\n  name: a\n  listen: %s\n  tls: %s\n  export: [feed]\n  peers: [{name: b}]\n", m.a.address, m.a.tls(m.tls))
	if err := m.a.start(ctx, gateway+"rings:\n"+m.b.ring("feed", m.b.sizes.capacity, true)); err != nil {
		return err
	}
	_, err = m.run(ctx) // a lap that touches every page
	return err
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
	if at <= first {
		return 0, fmt.Errorf("the mirror was at its end at the first look: %d bytes are too few to measure", m.b.sizes.bytes)
	}
	return float64(at-first) / float64(last.Sub(since).Nanoseconds()), m.z.stop()
}

// bare is the same number of bytes over a bare stream, in GB/s.
func (m *mirroring) bare(ctx context.Context) (float64, error) {
	certs := m.b.certsIf(m.tls)
	return both(ctx, "tcp-receive", "tcp-send", []string{certs}, []string{strconv.FormatUint(m.b.sizes.bytes, 10), certs})
}
