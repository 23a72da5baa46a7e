package main

import (
	"fmt"
	"io"
	"time"
)

// skip is a test that did not run, and its own words why.
type skip struct {
	id     testID
	reason string
}

// tally is what came of one section. Its writer is where the section's progress goes.
type tally struct {
	w      io.Writer
	passed int
	failed []string
	skips  []skip
}

func (t *tally) fail(what string) { t.failed = append(t.failed, what) }

func (t *tally) outcome() string {
	if t.passed+len(t.failed)+len(t.skips) == 0 {
		return "ok"
	}
	return totals(t.passed, len(t.failed), len(t.skips))
}

// result is a section that has ended.
type result struct {
	name string
	took time.Duration
	*tally
}

// report prints times, failures and skips, and ends with the totals alone on a line. It says whether all is well.
func report(w io.Writer, results []result, requireAll bool) bool {
	var passed int
	var failed []string
	var skips []skip
	var took time.Duration
	fmt.Fprintf(w, "\n== summary\n")
	for _, r := range results {
		fmt.Fprintf(w, "   %-8s %6.1fs  %s\n", r.name, r.took.Seconds(), r.outcome())
		passed += r.passed
		failed = append(failed, r.failed...)
		skips = append(skips, r.skips...)
		took += r.took
	}
	fmt.Fprintf(w, "   %-8s %6.1fs\n", "all", took.Seconds())
	if len(failed) > 0 {
		fmt.Fprintf(w, "\nfailed:\n")
		for _, what := range failed {
			fmt.Fprintf(w, "   %s\n", what)
		}
	}
	if len(skips) > 0 {
		consequence := ""
		if requireAll {
			consequence = " (REQUIRE_ALL=1: this run fails)"
		}
		fmt.Fprintf(w, "\nskipped%s:\n", consequence)
		for _, s := range skips {
			fmt.Fprintf(w, "   %s: %s\n", s.id, s.reason)
		}
	}
	fmt.Fprintf(w, "\n%s\n", totals(passed, len(failed), len(skips)))
	return len(failed) == 0 && (len(skips) == 0 || !requireAll)
}

func totals(passed, failed, skipped int) string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped", passed, failed, skipped)
}
