package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"brokerd/client"
)

const (
	roleProducer = "producer"
	roleConsumer = "consumer"
)

// attachFlags are what attach can be told.
type attachFlags struct {
	as           choice
	name         string
	framing      choice
	from         startFlag
	policy       choice
	waitStrategy choice
	waitFor      time.Duration
	count        uint64
	onFull       choice
	end          bool
	untilEnd     bool
}

const attachLong = `Attach to a ring. A producer publishes each record of its standard input; a
consumer writes the records to its standard output, at once when it has to wait
for more and in larger pieces otherwise.

Framing line: a record is a line without its newline. A carriage return belongs to
it, an empty line is a record, and a last line without a newline counts. A record
that holds newlines is written as it is. Framing u32be: each record follows its
length in bytes as a 4-byte big-endian number.

At the end of the input, SIGINT or SIGTERM a producer publishes what it has read
in full (after a signal for at most 2 s, if a reader holds it; a second signal
ends it at once) and detaches. A consumer ends with SIGINT or SIGTERM, after
--count records, with --until-end at an end record, or when its output is closed.
One line on stderr tells records, bytes, rate, missed, and the latency from
publishing to receiving.

Exit codes: 0 done, 1 failed, 2 wrong command line, 3 daemon unreachable, 4
refused, 5 a block or demote reader missed records. The daemon may go away and
come back meanwhile: records move on without it.`

const attachExample = `  zcat feed.jsonl.gz | brokerctl attach md --as producer --name feed --end
  brokerctl attach md --as consumer --from oldest --policy block --until-end | sha256sum
  brokerctl attach md --as consumer --count 10 --wait-for 10s
  brokerctl attach md --as consumer --framing u32be | my-decoder`

func policyChoice() choice { return optionalChoice("block", "demote", "skip", "latest") }

func (c *cli) attachCommand() *cobra.Command {
	f := &attachFlags{
		as:           optionalChoice(roleProducer, roleConsumer),
		framing:      newChoice(string(framingLine), string(framingU32BE)),
		policy:       policyChoice(),
		waitStrategy: newChoice("auto", "spin", "yield", "park"),
		onFull:       newChoice("block", "drop", "fail"),
	}
	cmd := &cobra.Command{
		Use:     "attach RING --as producer|consumer",
		Short:   "Publish stdin into a ring, or print its records",
		Long:    attachLong,
		Example: attachExample,
		Args:    args("RING"),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := f.check(cmd.Flags()); err != nil {
				return err
			}
			return c.attach(cmd.Context(), given[0], f)
		},
	}
	f.register(cmd.Flags())
	return cmd
}

func (f *attachFlags) register(flags *pflag.FlagSet) {
	flags.SortFlags = false
	flags.Var(&f.as, "as", f.as.list())
	flags.StringVar(&f.name, "name", "", "label that attachments are listed with, at most 64 of [a-zA-Z0-9._-]")
	flags.Var(&f.framing, "framing", "how records are told apart: "+f.framing.list())
	flags.Var(&f.waitStrategy, "wait-strategy", "how to wait for the other side: "+f.waitStrategy.list())
	flags.DurationVar(&f.waitFor, "wait-for", 0, "how long to wait for the daemon to answer and the ring to exist")
	flags.Uint64Var(&f.count, "count", 0, "end after so many records; gaps and missed ones do not count")
	flags.Var(&f.from, "from", "consumer: where to begin, oldest, latest or a position in bytes")
	flags.Var(&f.policy, "policy", "consumer: "+f.policy.list()+" (default: the ring's)")
	flags.BoolVar(&f.untilEnd, "until-end", false, "consumer: end at an end record")
	flags.Var(&f.onFull, "on-full", "producer: what to do when a reader holds it: "+f.onFull.list())
	flags.BoolVar(&f.end, "end", false, "producer: publish an end record before detaching")
}

// check refuses what does not go together.
func (f *attachFlags) check(flags *pflag.FlagSet) error {
	if f.as.value == "" {
		return usagef("attach: say --as producer or --as consumer")
	}
	other, foreign := roleConsumer, []string{"from", "policy", "until-end"}
	if f.as.value == roleConsumer {
		other, foreign = roleProducer, []string{"on-full", "end"}
	}
	for _, name := range foreign {
		if flags.Changed(name) {
			return usagef("attach: --%s is for a %s", name, other)
		}
	}
	if flags.Changed("count") && f.count == 0 {
		return usagef("attach: --count 0: want 1 or more")
	}
	if f.waitFor < 0 {
		return usagef("attach: --wait-for %v: want 0 or more", f.waitFor)
	}
	return nil
}

// attach connects, moves records, and prints the summary.
func (c *cli) attach(ctx context.Context, ring string, f *attachFlags) error {
	setup, cancel := context.WithTimeout(ctx, f.waitFor+callTimeout)
	defer cancel()
	deadline := time.Now().Add(f.waitFor)
	conn, err := client.Dial(setup, client.Options{Socket: c.socket, WaitFor: f.waitFor})
	if err == nil {
		err = waitRing(setup, conn, ring, time.Until(deadline))
		if err == nil && f.as.value == roleProducer {
			err = c.produce(ctx, setup, conn, ring, f)
		} else if err == nil {
			err = c.consume(ctx, setup, conn, ring, f)
		}
		err = errors.Join(err, conn.Close())
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // a signal before it was attached
	}
	return err
}

// waitRing waits for the ring to exist; without time to wait, attaching tells.
func waitRing(ctx context.Context, conn *client.Client, ring string, wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return conn.WaitRing(ctx, ring)
}

// finish prints the summary of an attachment that ended with err.
func (c *cli) finish(s *summary, err error) error {
	return errors.Join(err, s.print(c.stderr, c.output.value == "json"))
}

// startFlag is the value of --from. It implements pflag.Value.
type startFlag struct {
	text  string
	start client.Start
}

// Set takes oldest, latest or a position.
func (f *startFlag) Set(text string) error {
	switch text {
	case "oldest":
		f.start = client.FromOldest()
	case "latest":
		f.start = client.FromLatest()
	default:
		position, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return fmt.Errorf("expected oldest, latest or a position in bytes")
		}
		f.start = client.FromPosition(position)
	}
	f.text = text
	return nil
}

func (f *startFlag) String() string {
	if f.text == "" {
		return "latest"
	}
	return f.text
}

// Type names the value in help texts.
func (*startFlag) Type() string { return "START" }
