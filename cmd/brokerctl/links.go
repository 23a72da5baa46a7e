package main

import (
	"context"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"brokerd/client"
)

func (c *cli) linksCommand() *cobra.Command {
	watch := false
	cmd := &cobra.Command{
		Use:   "links",
		Short: "Show what moves to and from other hosts",
		Long: `Show the links of the daemon's gateway, its feeds of raw TCP streams, and the
handshakes it has refused.

ROLE is mirror for a ring of PEER that comes here (RING is its name there and,
where that differs, here), export for one of ours that PEER mirrors, reader and
producer for a client without a brokerd. POSITION and RECORDS are how far the
receiving side is, LAG and LAG_RECORDS how far that is behind what has been
published. GAPS counts the times that the origin no longer held what was to come
next, LOST the records lost by it. NOTE says why a link is in its STATE. Below are
the certificates of the gateway, with the days that they are still valid for.

With --watch they are shown every second, with rates, as stats --watch does, and
on over a restart of the daemon of less than 3s.`,
		Example: "  brokerctl links\n  brokerctl links --watch\n  brokerctl links -o json | jq '.links[] | select(.state != \"connected\")'",
		Args:    args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch {
				return c.watch(cmd.Context(), linksSamples)
			}
			return c.withClient(cmd.Context(), func(ctx context.Context, conn *client.Client) error {
				links, err := conn.Links(ctx)
				if err != nil {
					return err
				}
				return c.print(links, func(t *table) { linksTables(t, links, nil, 0) })
			})
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "show them every second until q or ^C")
	return cmd
}

// linksAwayMax is how long links --watch waits for an answer: a daemon that is
// started again is back sooner.
const linksAwayMax = 3 * time.Second

// linksSamples asks once a second.
func linksSamples(ctx context.Context, conn *client.Client) iter.Seq2[sample, error] {
	return func(yield func(sample, error) bool) {
		var before *client.Links
		var then time.Time
		for {
			asked, cancel := context.WithTimeout(ctx, linksAwayMax)
			links, err := conn.Links(asked)
			cancel()
			now, since := time.Now(), before
			seconds := now.Sub(then).Seconds()
			rows := func(t *table) { linksTables(t, links, since, seconds) }
			if !yield(sample{now.UnixNano(), links, rows}, err) || err != nil || !sleepFor(ctx, watchInterval) {
				return
			}
			before, then = &links, now
		}
	}
}
