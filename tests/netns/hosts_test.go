package netns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const gatewayPort = 9465

// host is one brokerd in its namespace.
type host struct {
	harness.Place
	name   string
	daemon *harness.Daemon
}

// newHost prepares the host with that number of a network. keys gives it its value
// of gateway.tls.
func (n *network) newHost(number int, keys func(name string) string, rings, gateway string) *host {
	n.t.Helper()
	name := string(rune('a' + number))
	p := harness.NewPlace(n.t, binaries, rings, fmt.Sprintf("limits: {memory: 4GiB}\ngateway:\n  name: %s\n  tls: %s\n  dead_after: 1s\n%s", name, keys(name), gateway))
	p.Inside = []string{"ip", "netns", "exec", n.hosts[number]}
	return &host{Place: p, name: name}
}

func (h *host) start() { h.daemon = h.Start() }

// kill ends the daemon as a crash would, and starts another.
func (h *host) kill() {
	h.daemon.Kill()
	h.start()
}

// publish sends the feed line by line, spread over d.
func publish(ctx context.Context, h *host, ring string, lines [][]byte, d time.Duration) error {
	c, err := client.Dial(ctx, client.Options{Socket: h.Socket, WaitFor: harness.Patience})
	if err != nil {
		return err
	}
	defer c.Close()
	p, err := c.Producer(ctx, ring, client.ProducerOptions{Name: "feed"})
	if err != nil {
		return err
	}
	begin := time.Now()
	for i, line := range lines {
		if due := begin.Add(d * time.Duration(i) / time.Duration(len(lines))); i%64 == 0 {
			time.Sleep(time.Until(due))
		}
		if err := p.Send(ctx, line); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
	}
	return nil
}

// seen is what a reader of a mirror has seen.
type seen struct {
	delivered, gaps, missed uint64
}

// check reads a ring until all of the feed is accounted for, and holds each record
// against the line of its sequence number.
func check(ctx context.Context, h *host, ring string, lines [][]byte) (s seen, err error) {
	c, err := client.Dial(ctx, client.Options{Socket: h.Socket, WaitFor: harness.Patience})
	if err != nil {
		return s, err
	}
	defer c.Close()
	r, err := consumer(ctx, c, ring)
	if err != nil {
		return s, err
	}
	for next := uint64(0); next < uint64(len(lines)); {
		record, err := r.Receive(ctx)
		if err != nil {
			return s, fmt.Errorf("%s: after %d records, at sequence %d: %w", ring, s.delivered, next, err)
		}
		s.gaps += record.Gaps
		s.missed += record.Missed
		if next+record.Gaps+record.Missed != record.Sequence {
			return s, fmt.Errorf("%s: record %d comes after %d, with %d in gaps and %d missed", ring, record.Sequence, next, record.Gaps, record.Missed)
		}
		if string(record.Payload) != string(lines[record.Sequence]) {
			return s, fmt.Errorf("%s: record %d is %.40q, published was %.40q", ring, record.Sequence, record.Payload, lines[record.Sequence])
		}
		next = record.Sequence + 1
		s.delivered++
	}
	if s.delivered+s.gaps+s.missed != uint64(len(lines)) {
		return s, fmt.Errorf("%s: %+v do not make %d", ring, s, len(lines))
	}
	return s, nil
}

// consumer attaches a lossless reader, once the mirror is there.
func consumer(ctx context.Context, c *client.Client, ring string) (*client.Consumer, error) {
	for {
		r, err := c.Consumer(ctx, ring, client.ConsumerOptions{Name: "check", Policy: client.PolicyBlock, From: client.FromOldest()})
		if !errors.Is(err, client.ErrRingNotFound) || ctx.Err() != nil {
			return r, err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// lines cuts the feed.
func lines(feed []byte) [][]byte {
	var all [][]byte
	for line := range strings.Lines(string(feed)) {
		all = append(all, []byte(strings.TrimSuffix(line, "\n")))
	}
	return all
}
