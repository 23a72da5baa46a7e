package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"brokerd/bench/internal/measure"
	"brokerd/bench/internal/reference"
)

// slowerMax is how much slower than expected a reference may be.
const slowerMax = 0.15

var errSlow = errors.New("a reference is more than 15 % slower than expected in the usual state: it has a bug, or this machine is another kind")

// expectation is a figure seen in the usual state on the kind of machine brokerd
// is developed on.
type expectation struct {
	what     string
	unit     string
	expected float64
	more     bool // more is better
	variant  measure.Variant
}

func expectations() []expectation {
	line := shape{payload: 48}
	trip := shape{payload: 48, trip: true}
	return []expectation{
		{"bare cache line, round trip", unitTrip, 120, false, measure.Variant{Program: "pingpong"}},
		{"index ring, round trip", unitTrip, 190, false, trip.variant("", "ring_index")},
		{"index ring, one way, one by one", unitRate, 38, true, line.variant("", "ring_index")},
		{"record ring, one way, one by one", unitRate, 48, true, line.variant("", "ring_record")},
	}
}

// verdict compares a median with the expectation.
func (e expectation) verdict(median float64) (text string, slow bool) {
	ratio := median / e.expected
	cost := ratio - 1 // share of time too much
	if e.more {
		cost = 1/ratio - 1
	}
	if cost > slowerMax {
		return fmt.Sprintf("SLOWER than expected by more than 15 %% (%.2f of it)", ratio), true
	}
	return fmt.Sprintf("ok (%.2f of it)", ratio), false
}

// series is what the runs for one expectation gave.
type series struct {
	values  []float64
	dropped int
}

// check runs the expectations in turn, so that a drift of the machine meets all
// of them, and prints one line for each. The error is errSlow when one is
// missed, or that of a broken program.
func check(ctx context.Context, r measure.Runner, runs int, out io.Writer) error {
	all := expectations()
	results := make([]series, len(all))
	for range runs {
		for i, e := range all {
			if err := results[i].add(ctx, r, e.variant); err != nil {
				return err
			}
		}
	}
	slow := false
	for i, e := range all {
		if len(results[i].values) == 0 {
			fmt.Fprintf(out, "%-34s not in the usual state (%d runs dropped)\n", e.what, results[i].dropped)
			continue
		}
		s := measure.SpreadOf(results[i].values)
		text, tooSlow := e.verdict(s.Median)
		slow = slow || tooSlow
		fmt.Fprintf(out, "%-34s %6.1f %s (min %.1f, max %.1f, %d runs, %d dropped), expected %.0f: %s\n",
			e.what, s.Median, e.unit, s.Min, s.Max, s.Count, results[i].dropped, e.expected, text)
	}
	if slow {
		return errSlow
	}
	return nil
}

// add tries to make one run that counts, within as many attempts as a pair has.
func (s *series) add(ctx context.Context, r measure.Runner, v measure.Variant) error {
	for range measure.AttemptsPerPair {
		_, err := r.WaitUsual(ctx, r.Tries)
		if errors.Is(err, reference.ErrNotUsual) {
			return nil
		}
		if err != nil {
			return err
		}
		run, err := r.Run(ctx, v.Program, v.Args...)
		if err != nil {
			return err
		}
		if run.Dropped == "" {
			s.values = append(s.values, run.Figures.Value())
			return nil
		}
		s.dropped++
	}
	return nil
}
