// Formatbench measures what decides the format of a ring: polling a published
// index against polling the record, alignment to 8 or 16 bytes, headers of 16,
// 24 or 32 bytes. It builds the C references, runs the variants in turn on two
// pinned cores, writes every run to results/<date>-format.json and prints a
// table. With -check it compares the references with the expected figures.
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

	"brokerd/bench/internal/measure"
	"brokerd/bench/internal/reference"
	"brokerd/bench/internal/results"
)

const (
	pairsMax = 101
	triesMax = 1000
)

type options struct {
	reference, build, results string
	cores, usual, only        string
	pairs, tries              int
	fifo, check               bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "formatbench:", err)
		os.Exit(1)
	}
}

func parse(args []string, help io.Writer) (options, reference.Usual, error) {
	var o options
	var usual reference.Usual
	f := flag.NewFlagSet("formatbench", flag.ContinueOnError)
	f.SetOutput(help)
	f.StringVar(&o.reference, "reference", "reference", "folder of the C sources")
	f.StringVar(&o.build, "build", "build", "folder for the compiled programs")
	f.StringVar(&o.results, "results", "results", "folder for the raw results")
	f.StringVar(&o.cores, "cores", "0,1", "the two cores to pin to")
	f.StringVar(&o.usual, "usual", "105-150", "probe round trip, in ns, in which runs count")
	f.StringVar(&o.only, "only", "", "run only the groups whose name contains this")
	f.IntVar(&o.pairs, "pairs", 5, "pairs wanted for each comparison")
	f.IntVar(&o.tries, "tries", 50, "probes allowed while waiting for the usual state")
	f.BoolVar(&o.fifo, "fifo", false, "run with real-time priority: for a machine that others use, needs root")
	f.BoolVar(&o.check, "check", false, "only compare the references with the expected figures")
	if err := f.Parse(args); err != nil {
		return o, usual, err
	}
	if f.NArg() > 0 {
		return o, usual, fmt.Errorf("%s: takes only options, see -help", f.Arg(0))
	}
	if o.pairs < 1 || o.pairs > pairsMax || o.tries < 1 || o.tries > triesMax {
		return o, usual, fmt.Errorf("-pairs %d -tries %d: want 1 to %d pairs and 1 to %d tries", o.pairs, o.tries, pairsMax, triesMax)
	}
	if n, err := fmt.Sscanf(o.usual, "%f-%f", &usual.LowNs, &usual.HighNs); n != 2 || err != nil || usual.LowNs >= usual.HighNs {
		return o, usual, fmt.Errorf("-usual %s: want two numbers in ns, the lower first, like 105-150", o.usual)
	}
	return o, usual, nil
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, usual, err := parse(args, progress)
	if err != nil {
		return err
	}
	compiler, err := reference.Build(ctx, o.reference, o.build)
	if err != nil {
		return err
	}
	programs := reference.Programs{Dir: o.build, Common: []string{"--cores", o.cores}, Usual: usual}
	if o.fifo {
		programs.Common = append(programs.Common, "--fifo")
	}
	runner := measure.Runner{Run: programs.Run, WaitUsual: programs.WaitUsual, Tries: o.tries}
	if o.check {
		return check(ctx, runner, o.pairs, out)
	}
	report := Report{
		Date:    time.Now().UTC(),
		Command: strings.Join(append([]string{"formatbench"}, args...), " "),
		Machine: machineFacts(compiler),
		Usual:   usual,
	}
	if err := measureAll(ctx, runner, o, &report, progress); err != nil {
		return err
	}
	report.LoadAfter = results.LoadAverage()
	path := filepath.Join(o.results, report.Date.Format(time.DateOnly)+"-format.json")
	if err := results.Write(path, report); err != nil {
		return err
	}
	report.print(out)
	fmt.Fprintf(out, "\nRaw results: %s\n", path)
	return nil
}

func measureAll(ctx context.Context, runner measure.Runner, o options, report *Report, progress io.Writer) error {
	for _, c := range plan() {
		if !strings.Contains(c.Group, o.only) {
			continue
		}
		result, err := measure.Compare(ctx, runner, c, o.pairs)
		if err != nil {
			return err
		}
		report.Results = append(report.Results, result)
		fmt.Fprintf(progress, "%s: %s: %d pairs, %d dropped\n", c.Group, c.Question, result.Ratio.Count, result.Dropped)
	}
	if len(report.Results) == 0 {
		return fmt.Errorf("-only %s: no group has such a name; there are %s, %s, %s and %s", o.only, groupPoll, groupBatch, groupAlign, groupHeader)
	}
	return nil
}
