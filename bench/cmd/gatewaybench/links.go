package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"brokerd/client"
)

// links is a daemon whose ring many others mirror, each a brokerd of its own.
type links struct{ b *bench }

// bytesEach is the growth of the daemon's resident memory for each link, all of them idle. Then one
// record is published, and has to arrive in all mirrors.
func (l *links) bytesEach(ctx context.Context) (float64, error) {
	return l.with(ctx, func(hub *host, before int64) (float64, error) {
		after, err := resident(hub.pid())
		return float64(after-before) / float64(l.b.sizes.links), err
	})
}

// cpu is what the daemon takes for its idle links, in ms a second: both sides say now and then that they live.
func (l *links) cpu(ctx context.Context) (float64, error) {
	return l.with(ctx, func(hub *host, _ int64) (float64, error) {
		before, err := cpuTime(hub.pid())
		if err != nil {
			return 0, err
		}
		time.Sleep(idleTime)
		after, err := cpuTime(hub.pid())
		return float64((after - before).Milliseconds()) / idleTime.Seconds(), err
	})
}

// linksEachRing is how many links read the same ring, which takes so many readers at most.
const linksEachRing = 10

// feed is the ring of a link.
func feed(link int) string { return fmt.Sprintf("feed%d", link/linksEachRing) }

// with sets all up, measures, and has every link show that it works. The first link is there before: what
// is allocated once does not count.
func (l *links) with(ctx context.Context, measure func(hub *host, before int64) (float64, error)) (figure float64, err error) {
	hub, err := l.b.newHost("a", "0")
	if err != nil {
		return 0, err
	}
	defer hub.remove()
	if err := hub.start(ctx, l.configuration(hub)); err != nil {
		return 0, err
	}
	var leaves []*host
	defer func() {
		for _, h := range leaves {
			h.remove()
		}
	}()
	var before int64
	for n := range l.b.sizes.links + 1 {
		if n == 1 {
			if before, err = resident(hub.pid()); err != nil {
				return 0, err
			}
		}
		h, err := l.b.newHost(fmt.Sprintf("b%d", n), "1")
		if err != nil {
			return 0, err
		}
		leaves = append(leaves, h)
		err = h.start(ctx, fmt.Sprintf("gateway:\n  name: %s\n  tls: off\n  peers: [{name: a, address: %q, mirror: [%s]}]\n", h.name, hub.address, feed(n)))
		if err == nil {
			err = arrived(ctx, h, n, 0)
		}
		if err != nil {
			return 0, err
		}
	}
	time.Sleep(time.Second) // whatever is still under way
	if figure, err = measure(hub, before); err != nil {
		return 0, err
	}
	for n, h := range leaves {
		if n%linksEachRing == 0 {
			_, err = fill(ctx, hub.socket(), feed(n), 1)
		}
		if err == nil {
			err = arrived(ctx, h, n, 1)
		}
		if err != nil {
			return 0, err
		}
	}
	return figure, nil
}

// configuration of the daemon that all others mirror.
func (l *links) configuration(hub *host) string {
	var peers, feeds []string
	rings := "rings:\n"
	for n := range l.b.sizes.links + 1 {
		peers = append(peers, fmt.Sprintf("{name: b%d}", n))
		if n%linksEachRing == 0 {
			feeds = append(feeds, feed(n))
			rings += l.b.ring(feed(n), 64<<10, true)
		}
	}
	return fmt.Sprintf("gateway:\n  name: a\n  listen: %s\n  tls: off\n  export: [%s]\n  peers: [%s]\n%s",
		hub.address, strings.Join(feeds, ", "), strings.Join(peers, ", "), rings)
}

// arrived waits until the mirror of a link exists and has come to a position.
func arrived(ctx context.Context, h *host, link int, end uint64) error {
	c, err := client.Dial(ctx, client.Options{Socket: h.socket()})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := waitPosition(ctx, c, feed(link), end, func(uint64) {}); err != nil {
		return fmt.Errorf("link to %s: %w: %s", h.name, err, h.log.String())
	}
	return nil
}
