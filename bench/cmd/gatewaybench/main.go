// Gatewaybench measures the gateway: mirroring against bare TCP and TLS streams,
// one-way latency against bare TCP, records a second against NATS and ZeroMQ, and
// what idle connections cost. It builds the binaries, runs each case and its
// reference in turn, writes every run to results/<date>-gateway.json and prints a
// table. With -check it reads the newest of these files and compares it with the bars.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"brokerd/bench/internal/results"
)

const pairsMax = 101

type options struct {
	results, only string
	pairs         int
	check, quick  bool
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == roleVerb {
		if err := play(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintf(os.Stderr, "gatewaybench %s: %v\n", os.Args[2], err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gatewaybench:", err)
		os.Exit(1)
	}
}

func parse(args []string, help io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("gatewaybench", flag.ContinueOnError)
	f.SetOutput(help)
	f.StringVar(&o.results, "results", "results", "folder for the raw results")
	f.StringVar(&o.only, "only", "", "run only the cases whose name contains this")
	f.IntVar(&o.pairs, "pairs", 5, "pairs wanted for each case")
	f.BoolVar(&o.quick, "quick", false, "small sizes: whether it works, not how fast")
	f.BoolVar(&o.check, "check", false, "only compare the newest complete results with the bars; exit 1 below a floor")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%s: takes only options, see -help", f.Arg(0))
	}
	if o.pairs < 1 || o.pairs > pairsMax {
		return o, fmt.Errorf("-pairs %d: want 1 to %d", o.pairs, pairsMax)
	}
	return o, nil
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	if o.check {
		return check(o.results, out)
	}
	dir, err := os.MkdirTemp("/dev/shm", "brokerd-gatewaybench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b, err := newBench(ctx, dir, o.quick, progress)
	if err != nil {
		return err
	}
	report := Report{
		Date: time.Now().UTC(), Command: strings.Join(append([]string{"gatewaybench"}, args...), " "),
		Machine: machineFacts(), Quick: o.quick,
	}
	for _, c := range b.cases() {
		if !strings.Contains(c.Name, o.only) {
			continue
		}
		result, err := compare(ctx, c, o.pairs, progress)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
		report.Results = append(report.Results, result)
	}
	if len(report.Results) == 0 {
		return fmt.Errorf("-only %s: no case has such a name", o.only)
	}
	report.LoadAfter = results.LoadAverage()
	path := filepath.Join(o.results, report.Date.Format(time.DateOnly)+"-gateway.json")
	if o.quick || o.only != "" {
		path = filepath.Join("build", "partial-gateway.json") // not what -check is to find
	}
	if err := results.Write(path, report); err != nil {
		return err
	}
	report.print(out)
	fmt.Fprintf(out, "\nRaw results: %s\n", path)
	return nil
}
