package client

import (
	"context"
	"fmt"
	"iter"
	"time"

	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// StatsIntervalMin and StatsIntervalMax bound the interval of WatchStats.
const (
	StatsIntervalMin = 10 * time.Millisecond
	StatsIntervalMax = time.Hour
)

// Stats takes a snapshot of one ring and its attachments, "" for all rings.
// Errors: ErrRingNotFound; ErrUnreachable.
func (c *Client) Stats(ctx context.Context, ring string) (Stats, error) {
	var out Stats
	err := c.query(ctx, wire.MethodStats, wire.StatsIn{Ring: ring}, &out)
	return out, err
}

// WatchStats yields a snapshot every interval, over a connection of its own,
// until ctx ends, the loop is left or the daemon goes away; an error is yielded
// last. The interval is rounded to milliseconds.
func (c *Client) WatchStats(ctx context.Context, ring string, interval time.Duration) iter.Seq2[Stats, error] {
	return func(yield func(Stats, error) bool) {
		if err := c.watch(ctx, ring, interval, yield); err != nil {
			yield(Stats{}, err)
		}
	}
}

// watch feeds yield until it has enough (nil) or something fails.
func (c *Client) watch(ctx context.Context, ring string, interval time.Duration, yield func(Stats, error) bool) error {
	if interval < StatsIntervalMin || interval > StatsIntervalMax {
		return fmt.Errorf("interval %v: want %v to %v", interval, StatsIntervalMin, StatsIntervalMax)
	}
	conn, err := c.server.dial(ctx)
	if err != nil {
		return err
	}
	l := newLink(conn)
	defer l.shut(ErrClosed)
	// The only other user of the connection: it interrupts the read below.
	stop := context.AfterFunc(ctx, func() { l.shut(ctx.Err()) })
	defer stop()

	ms := interval.Round(time.Millisecond).Milliseconds()
	frame, err := encodeCall(wire.MethodStats, wire.StatsIn{Ring: ring, IntervalMS: &ms}, false, true)
	if err == nil {
		err = l.write(frame)
	}
	for err == nil {
		var more bool
		var out Stats
		if out, more, err = nextStats(conn); err != nil {
			break
		}
		if !yield(out, nil) {
			return nil
		}
		if !more {
			return unreachable(c.server.socket, fmt.Errorf("it is about to end"))
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if IsRefused(err) {
		return err
	}
	return unreachable(c.server.socket, err)
}

func nextStats(conn *unixconn.Conn) (out Stats, more bool, err error) {
	a, err := receive(conn)
	if err != nil {
		return Stats{}, false, err
	}
	err = a.decode(&out)
	return out, a.reply.Continues, err
}
