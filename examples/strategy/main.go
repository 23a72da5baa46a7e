package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"brokerd/client"
)

// The rings, as docs/EMBEDDING.md has them made.
const (
	ringQuotes = "md"
	ringOrders = "orders"
	ringFills  = "fills"
)

// options are the flags.
type options struct {
	socket  string
	count   int    // quotes to publish
	id      int    // of the strategy: the tag of its orders and fills
	journal string // the gateway's file
	cpu     int    // core of the hot loop, negative for any
	every   time.Duration
}

func main() {
	o, role, ok := parse(os.Args[1:])
	if !ok {
		os.Exit(2)
	}
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, o, role)
	restore()
	if err != nil {
		fmt.Fprintf(os.Stderr, "strategy %s: %v\n", role, err)
		os.Exit(1)
	}
}

func parse(args []string) (o options, role string, ok bool) {
	set := flag.NewFlagSet("strategy", flag.ContinueOnError)
	set.StringVar(&o.socket, "socket", "", "control socket of the daemon, empty for the default one")
	set.IntVar(&o.count, "count", 100_000, "feed: how many quotes to publish")
	set.IntVar(&o.id, "id", 1, "trade: number of the strategy, 1 to 65535")
	set.StringVar(&o.journal, "journal", "orders.log", "gateway: file that orders are written to")
	set.IntVar(&o.cpu, "cpu", -1, "core that the loop is bound to, -1 for any")
	set.DurationVar(&o.every, "every", time.Second, "watch: how often to look")
	set.Usage = func() {
		fmt.Fprintln(set.Output(), "usage: strategy [flags] feed|trade|gateway|watch")
		set.PrintDefaults()
	}
	if set.Parse(args) != nil {
		return o, "", false
	}
	role = set.Arg(0)
	if set.NArg() != 1 || !slices.Contains([]string{"feed", "trade", "gateway", "watch"}, role) {
		fmt.Fprintln(os.Stderr, "strategy: want one role: feed, trade, gateway or watch")
		return o, role, false
	}
	if o.id < 1 || o.id > 65535 || o.every <= 0 {
		fmt.Fprintf(os.Stderr, "strategy: -id %d, -every %v: want 1 to 65535, and more than 0\n", o.id, o.every)
		return o, role, false
	}
	return o, role, true
}

// run plays a role until it is done or ctx ends, which is no error.
func run(ctx context.Context, o options, role string) (err error) {
	if err := pin(o.cpu); err != nil {
		return err
	}
	c, err := connect(ctx, o.socket, ringQuotes, ringOrders, ringFills)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	err = again(ctx, c, func() error {
		switch role {
		case "feed":
			return feed(ctx, c, o.count)
		case "trade":
			return trade(ctx, c, uint16(o.id))
		case "gateway":
			return gateway(ctx, c, o.journal)
		default:
			return watch(ctx, c, o.every)
		}
	})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // a signal
	}
	return err
}

// again plays a role once more whenever a ring that it uses was removed, when
// there is one of that name again. A new ring is empty, so the role begins from
// the beginning, too.
func again(ctx context.Context, c *client.Client, play func() error) error {
	for {
		err := play()
		var removed *client.RemovedError
		if !errors.As(err, &removed) {
			return err
		}
		fmt.Fprintln(os.Stderr, "strategy:", err)
		if err := c.WaitRing(ctx, removed.Ring); err != nil {
			return err
		}
	}
}
