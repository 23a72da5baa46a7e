package main

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/spf13/cobra"

	"brokerd/client"
)

const attachLong = `Attach to rings. A producer publishes each record of its standard input into one
ring; a consumer writes the records of one ring or several to its standard output,
at once when it has to wait for more and in larger pieces otherwise.

Framing line: a record is a line without its newline. A carriage return belongs to
it, an empty line is a record, and a last line without a newline counts. A record
that holds newlines is written as it is. Framing u32be: each record follows its
length in bytes as a 4-byte big-endian number.

With several rings each record is written behind the name of its ring: with
framing line the name and a tab stand before the record, with framing u32be each
record is two frames, the name and the record. Records of one ring keep their
order; between rings there is none. All flags hold for each ring, but --count
counts them together. With --until-end it ends when every ring has. An error of
one ring ends all.

At the end of the input, SIGINT or SIGTERM a producer publishes what it has read
in full (after a signal for at most 2 s, if a reader holds it; a second signal
ends it at once) and detaches. A consumer ends with SIGINT or SIGTERM, after
--count records, with --until-end at an end record, or when its output is closed.
One line for each ring on stderr tells records, bytes, rate, missed, and the
latency from publishing to receiving.

--from resume goes on where an earlier consumer of the same --name and user stopped,
on a ring with resume_for, and otherwise begins at the oldest record; stderr tells
which. A record whose checksum is wrong is left out, and told on stderr.

With --address it attaches at the gateway of a brokerd on another host, over TCP,
and this host needs none. --cert, --key and --ca say by what to be known and whom to
trust (brokerctl pki makes them). A connection that breaks is made anew; no record is
published twice, and a producer ends when all are acknowledged.

Exit codes: 0 done, 1 failed (wrong checksums, too), 2 wrong command line, 3 daemon
unreachable, 4 refused, 5 a block or demote reader missed records. The daemon may
go away and come back meanwhile: records move on without it.`

const attachExample = `  zcat feed.jsonl.gz | brokerctl attach md --as producer --name feed --end
  brokerctl attach md --as consumer --from oldest --policy block --until-end | sha256sum
  brokerctl attach md --as consumer --count 10 --wait-for 10s
  brokerctl attach md fills --as consumer --tag 1,2 | grep ^fills
  brokerctl attach md --as consumer --name risk --from resume >> risk.log
  brokerctl attach md --as consumer --framing u32be | my-decoder
  brokerctl --address exch-1:9465 --cert desk.pem --key desk-key.pem --ca ca.pem attach md --as consumer`

func (c *cli) attachCommand() *cobra.Command {
	f := newAttachFlags()
	cmd := &cobra.Command{
		Use:     "attach RING... --as producer|consumer",
		Short:   "Publish stdin into a ring, or print the records of rings",
		Long:    attachLong,
		Example: attachExample,
		Args:    args("RING..."),
		// A producer takes one ring only, but --as may come last.
		ValidArgsFunction: c.completeRings(math.MaxInt),
		SuggestFor:        []string{"consume", "produce", "subscribe", "publish", "read", "cat"},
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := f.check(cmd.Flags(), given); err != nil {
				return err
			}
			return c.attach(cmd.Context(), given, f)
		},
	}
	f.register(cmd.Flags())
	c.remote.register(cmd.Flags(), false)
	return cmd
}

// attach connects, moves records, and prints a summary for each ring.
func (c *cli) attach(ctx context.Context, rings []string, f *attachFlags) error {
	setup, cancel := context.WithTimeout(ctx, f.waitFor+callTimeout)
	defer cancel()
	deadline := time.Now().Add(f.waitFor)
	conn, err := c.dial(setup, f.waitFor)
	if err != nil {
		err = c.timely(setup, err)
	} else {
		err = errors.Join(c.attachOver(ctx, setup, conn, rings, f, deadline), conn.Close())
	}
	if errors.Is(err, errInterrupted) {
		return nil // a signal before it was attached
	}
	return err
}

// attachOver does it over a connection. setup bounds the attaching; deadline is
// until when the rings may come to exist.
func (c *cli) attachOver(ctx, setup context.Context, conn attacher, rings []string, f *attachFlags, deadline time.Time) error {
	for _, ring := range rings {
		if err := waitRing(setup, conn, ring, time.Until(deadline)); err != nil {
			return c.timely(setup, waited(f.waitFor, err))
		}
	}
	if f.as.value == roleProducer {
		return c.produce(ctx, setup, conn, rings[0], f)
	}
	return c.consume(ctx, setup, conn, rings, f)
}

// waitRing waits for the ring to exist; without time to wait, attaching tells.
func waitRing(ctx context.Context, at attacher, ring string, wait time.Duration) error {
	conn, local := at.(*client.Client)
	if wait <= 0 || !local {
		return nil // another host is asked by attaching
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := conn.WaitRing(ctx, ring)
	var refusal *client.Error
	if errors.Is(err, context.DeadlineExceeded) && errors.As(err, &refusal) {
		return refusal // what was waited for to end
	}
	return err
}
