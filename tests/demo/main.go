// Command demo shows brokerd at work, and fails when it does not: `make demo`.
//
// It starts bin/brokerd in folders of its own, replays a recorded feed into a
// ring and reads it in three other processes, which are this same program. Half
// way it kills the daemon with -9 and starts another one. At the end it checks
// what it has shown. It owns all that it starts and creates, takes it away on
// every path (the end, a failure, a signal), and touches no other brokerd.
//
// Nobody imports it. Of what its own processes report it believes nothing that
// it can compare with the feed itself or with the daemon's counts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes.
const (
	exitOK          = 0 // all that was promised holds
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// Factors of the recorded pace. Beyond the upper one the daemon would be away
// too briefly to see anything.
const (
	factorDefault = 2
	factorMin     = 0.1
	factorMax     = 10
)

// options are the flags.
type options struct {
	brokerd string // path of the daemon's binary
	feed    string // path of the recorded feed
	factor  float64
	keep    bool // leave the folders
}

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) > 0 && args[0] == readerRole {
		if err := readerMain(args[1:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return exitFailed
		}
		return exitOK
	}
	o, err := parseFlags(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		return exitUsage
	}
	// They stay caught to the end: cleaning up takes a bounded time. SIGPIPE is
	// among them so that `make demo | head` cleans up as well.
	ctx, restore := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer restore()
	switch err := perform(ctx, o, newScreen(os.Stdout)); {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		fmt.Fprintf(os.Stderr, "demo: interrupted: %v\n", err)
		return exitInterrupted
	default:
		fmt.Fprintf(os.Stderr, "demo: failed: %v\n", err)
		return exitFailed
	}
}

func parseFlags(args []string) (options, error) {
	var o options
	set := flag.NewFlagSet("demo", flag.ContinueOnError)
	set.SetOutput(io.Discard) // errors are reported by the caller
	set.StringVar(&o.brokerd, "brokerd", "bin/brokerd", "the daemon to run, made by `make build`")
	set.StringVar(&o.feed, "feed", "tests/testdata/feed-slice.jsonl.gz", "the recorded feed")
	set.Float64Var(&o.factor, "factor", factorDefault, "how many times faster than recorded, 0.1 to 10")
	set.BoolVar(&o.keep, "keep", false, "leave the folders with rings, configuration and log")
	err := set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Println("usage: make demo; or, at the top of the source, go run ./tests/demo [flags]")
		set.SetOutput(os.Stdout)
		set.PrintDefaults()
		return o, err
	case err != nil:
		return o, fmt.Errorf("%w; --help lists the flags", err)
	case set.NArg() > 0:
		return o, fmt.Errorf("argument %q is not expected; --help lists the flags", set.Arg(0))
	case !(o.factor >= factorMin && o.factor <= factorMax):
		return o, fmt.Errorf("--factor %v: want %v to %v", o.factor, factorMin, factorMax)
	}
	return o, nil
}
