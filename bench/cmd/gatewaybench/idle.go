package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"brokerd/internal/wire"
)

// idle is what connected clients cost the daemon that do nothing.
type idle struct {
	b   *bench
	tls bool
}

// idleTime is how long wake-ups are counted.
const idleTime = 3 * time.Second

// with runs the daemon, connects so many clients to it, and measures.
func (i *idle) with(ctx context.Context, count int, measure func(h *host, open *clients) (float64, error)) (float64, error) {
	h, err := i.b.newHost("a", "0")
	if err != nil {
		return 0, err
	}
	defer h.remove()
	gateway := fmt.Sprintf("gateway:\n  name: a\n  listen: %s\n  tls: %s\n  peers: [{name: b}]\n", h.address, h.tls(i.tls))
	if err := h.start(ctx, gateway+"rings:\n"+i.b.ring("feed", 1<<20, true)); err != nil {
		return 0, err
	}
	var open clients
	defer func() { open.close() }()
	if err := i.connect(h, &open, count); err != nil {
		return 0, err
	}
	return measure(h, &open)
}

// bytesEach is the growth of the daemon's resident memory for each idle client. A tenth as many are there
// before: what is allocated once does not count.
func (i *idle) bytesEach(ctx context.Context) (float64, error) {
	count := i.b.sizes.clients
	return i.with(ctx, count/10, func(h *host, open *clients) (float64, error) {
		before, err := resident(h.pid())
		if err == nil {
			err = i.connect(h, open, count)
		}
		if err != nil {
			return 0, err
		}
		time.Sleep(time.Second) // whatever is still under way
		after, err := resident(h.pid())
		return float64(after-before) / float64(count), err
	})
}

// wakes is how often the daemon's threads wake a second while all clients are idle.
func (i *idle) wakes(ctx context.Context) (float64, error) {
	return i.wakesWith(ctx, i.b.sizes.clients)
}

// wakesAlone is the same without clients: the daemon's own clocks and those of its runtime.
func (i *idle) wakesAlone(ctx context.Context) (float64, error) { return i.wakesWith(ctx, 0) }

func (i *idle) wakesWith(ctx context.Context, count int) (float64, error) {
	return i.with(ctx, count, func(h *host, _ *clients) (float64, error) {
		time.Sleep(time.Second) // whatever is still under way
		return wakesOf(h.pid())
	})
}

// wakesOf is how often the threads of a process wake a second.
func wakesOf(pid int) (float64, error) {
	before, err := voluntarySwitches(pid)
	if err != nil {
		return 0, err
	}
	time.Sleep(idleTime)
	after, err := voluntarySwitches(pid)
	return float64(after-before) / idleTime.Seconds(), err
}

// clients are connections that stay open.
type clients []net.Conn

func (c clients) close() {
	for _, conn := range c {
		_ = conn.Close()
	}
}

// connect adds count clients, each of which has been welcomed.
func (i *idle) connect(h *host, open *clients, count int) error {
	config, err := tlsConfig(i.b.certsIf(i.tls), "b")
	if err != nil {
		return err
	}
	for n := range count {
		c, err := greet(h.address, config)
		if err != nil {
			return fmt.Errorf("client %d: %w: %s", n, err, h.log.String())
		}
		*open = append(*open, c)
	}
	return nil
}

// greet connects as a remote client does, and waits for the welcome.
func greet(address string, config *tls.Config) (net.Conn, error) {
	c, err := dial(address, config)
	if err != nil {
		return nil, err
	}
	hello := wire.LinkHelloFrame{VersionMin: 1, VersionMax: 1, Name: "b", Agent: "gatewaybench"}
	if _, err := c.Write(hello.Append(nil)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	header := make([]byte, wire.LinkHeaderBytes)
	if _, err := io.ReadFull(c, header); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	h, err := wire.DecodeLinkHeader(header)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	rest := make([]byte, int(h.Bytes)-len(header))
	if _, err := io.ReadFull(c, rest); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if h.Kind != wire.LinkWelcome {
		return nil, errors.Join(fmt.Errorf("frame of kind %d: %q", h.Kind, rest), c.Close())
	}
	return c, nil
}
