package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"brokerd/bench/internal/measure"
	"brokerd/bench/internal/results"
)

func TestParse(t *testing.T) {
	o, err := parse([]string{"-only", "mirror", "-pairs", "101", "-quick", "-results", "r"}, io.Discard)
	if want := (options{results: "r", only: "mirror", pairs: 101, quick: true}); err != nil || o != want {
		t.Fatalf("options %+v, error %v", o, err)
	}
	for _, bad := range []string{"-pairs 0", "-pairs 102", "now", "-fast"} {
		if _, err := parse(strings.Fields(bad), io.Discard); err == nil {
			t.Errorf("%s: accepted", bad)
		}
	}
	if _, err := parse([]string{"-help"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: error %v", err)
	}
}

// figures gives one after the other.
func figures(values ...float64) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) {
		v := values[0]
		values = values[1:]
		return v, nil
	}
}

func fails(err error) func(context.Context) (float64, error) {
	return func(context.Context) (float64, error) { return 0, err }
}

func TestCompareTakesRatiosPairByPair(t *testing.T) {
	done := 0
	c := Case{Name: "c", ours: figures(2, 9, 4), reference: figures(1, 3, 4), done: func() { done++ }}
	r, err := compare(t.Context(), c, 3, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if want := (measure.Spread{Median: 2, Min: 1, Max: 3, Count: 3}); r.Ratio != want || r.figure() != want {
		t.Errorf("ratio %+v, figure %+v, want %+v", r.Ratio, r.figure(), want)
	}
	if r.Ours.Median != 4 || r.Reference.Median != 3 || !slices.Equal(r.Pairs, []Pair{{1, 2}, {3, 9}, {4, 4}}) {
		t.Errorf("ours %+v, reference %+v, pairs %v", r.Ours, r.Reference, r.Pairs)
	}
	if done != 1 {
		t.Errorf("done was called %d times", done)
	}
}

func TestCompareWithoutReference(t *testing.T) {
	var progress strings.Builder
	r, err := compare(t.Context(), Case{Name: "c", Unit: "bytes", ours: figures(5, 7)}, 2, &progress)
	if want := (measure.Spread{Median: 6, Min: 5, Max: 7, Count: 2}); err != nil || r.figure() != want || r.Ratio.Count != 0 {
		t.Errorf("result %+v, error %v", r, err)
	}
	if strings.Contains(progress.String(), "reference") {
		t.Errorf("speaks of a reference: %s", progress.String())
	}
}

func TestCompareFailures(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]Case{
		"ours":      {ours: fails(broken), reference: figures(1)},
		"reference": {ours: figures(1), reference: fails(broken)},
	} {
		done := false
		c.done = func() { done = true }
		if _, err := compare(t.Context(), c, 1, io.Discard); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), name) || !done {
			t.Errorf("%s: error %v, done %t", name, err, done)
		}
	}
	r, err := compare(t.Context(), Case{Floor: 1, ours: fails(broken), reference: fails(errNotHere)}, 1, io.Discard)
	if err != nil || r.NotRunSays == "" || r.meets(0) || r.verdict() != r.NotRunSays {
		t.Errorf("not installed: %+v, error %v", r, err)
	}
}

func TestVerdictAtTheBounds(t *testing.T) {
	more := Case{Bar: 0.8, Floor: 0.6}
	less := Case{Bar: 2.5, Floor: 4, Less: true}
	for _, tt := range []struct {
		c      Case
		median float64
		want   string
	}{
		{more, 0.8, "meets the bar"}, {more, math.Nextafter(0.8, 0), "above the floor"},
		{more, 0.6, "above the floor"}, {more, math.Nextafter(0.6, 0), "BELOW THE FLOOR"},
		{less, 2.5, "meets the bar"}, {less, math.Nextafter(2.5, 3), "above the floor"},
		{less, 4, "above the floor"}, {less, math.Nextafter(4, 5), "BELOW THE FLOOR"},
	} {
		r := Result{Case: tt.c, Ratio: measure.Spread{Median: tt.median, Count: 1}}
		if got := r.verdict(); got != tt.want {
			t.Errorf("%v with bar %v, floor %v: %s, want %s", tt.median, tt.c.Bar, tt.c.Floor, got, tt.want)
		}
	}
	if (Result{Case: less}).meets(4) {
		t.Error("no figure meets a bound")
	}
}

func TestReportAndCheck(t *testing.T) {
	dir := t.TempDir()
	var out strings.Builder
	if err := check(dir, &out); err == nil || !strings.Contains(err.Error(), "make bench-gateway") {
		t.Errorf("without results: error %v", err)
	}
	good := Result{Case: Case{Name: "good", Question: "q", Unit: "GB/s", Bar: 0.8, Floor: 0.6},
		Ours: measure.Spread{Median: 1.8, Min: 1.7, Max: 1.9, Count: 5}, Reference: measure.Spread{Median: 2, Min: 2, Max: 2, Count: 5},
		Ratio: measure.Spread{Median: 0.9, Min: 0.85, Max: 0.95, Count: 5}}
	alone := Result{Case: Case{Name: "alone", Unit: "bytes", Bar: 8192, Floor: 8192, Less: true}, Ours: measure.Spread{Median: 4000, Count: 5}}
	older := Report{Results: []Result{{Case: Case{Name: "bad", Floor: 1}}}}
	newer := Report{Results: []Result{good, alone}, Quick: true}
	for name, r := range map[string]Report{"2026-01-09-gateway.json": older, "2026-01-10-gateway.json": newer, "partial-gateway.json": older} {
		if err := results.Write(filepath.Join(dir, name), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := check(dir, &out); err != nil || !strings.Contains(out.String(), "2026-01-10") || strings.Count(out.String(), "meets the bar") != 2 {
		t.Errorf("check says %q, error %v", out.String(), err)
	}
	if err := results.Write(filepath.Join(dir, "2026-01-08-gateway.json"), newer); err != nil {
		t.Fatal(err)
	}
	if err := results.Write(filepath.Join(dir, "2026-01-11-gateway.json"), older); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := check(dir, &out); !errors.Is(err, errFloor) || !strings.Contains(out.String(), "BELOW THE FLOOR") {
		t.Errorf("below the floor: check says %q, error %v", out.String(), err)
	}
	out.Reset()
	newer.print(&out)
	for _, want := range []string{
		"| good: q | GB/s | **2** (2 to 2) | **1.8** (1.7 to 1.9) | **0.9** (0.85 to 0.95) | >= 0.8 | >= 0.6 | meets the bar |",
		"| - | **4000** ", "| <= 8192 |", "Quick:",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "2026-01-12-gateway.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check(dir, &out); err == nil || !strings.Contains(err.Error(), "2026-01-12") {
		t.Errorf("damaged results: error %v", err)
	}
}

// Every case has bounds that make sense, and its own name.
func TestCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range (&bench{}).cases() {
		if seen[c.Name] || c.ours == nil || c.Question == "" || c.Unit == "" {
			t.Errorf("case %q: twice, or incomplete", c.Name)
		}
		seen[c.Name] = true
		if c.Floor <= 0 || c.Less && c.Floor < c.Bar || !c.Less && c.Floor > c.Bar {
			t.Errorf("%s: bar %v, floor %v", c.Name, c.Bar, c.Floor)
		}
	}
}

func TestMedianLeavesOutTheWarmUp(t *testing.T) {
	a := newAges(10)
	for _, ns := range []int64{1000, 3, 1, 2, 9, 8, 7, 4, 6, 5} { // the first one is left out
		a.add(ns)
	}
	if got := a.median(); got != 5 {
		t.Errorf("median %v, want 5", got)
	}
}

func TestPaceIsNeverEarly(t *testing.T) {
	const slack = 5e6 // ns that the first call may be late, and the others not
	var at []int64
	if err := pace([]string{"20", "1000000"}, func() error {
		at = append(at, now())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(at) != 20 || at[19]-at[0] < 19e6-slack {
		t.Errorf("%d calls within %d ns", len(at), at[len(at)-1]-at[0])
	}
	if err := pace([]string{"3", "x"}, func() error { return nil }); err == nil {
		t.Error("x ns between two: accepted")
	}
}

func TestOwnProcess(t *testing.T) {
	pid := os.Getpid()
	if n, err := resident(pid); err != nil || n < 1<<20 {
		t.Errorf("resident %d, error %v", n, err)
	}
	if d, err := cpuTime(pid); err != nil || d < 0 {
		t.Errorf("CPU time %v, error %v", d, err)
	}
	if n, err := voluntarySwitches(pid); err != nil || n <= 0 {
		t.Errorf("switches %d, error %v", n, err)
	}
	if _, err := statusField(pid, "status", "NoSuch:"); err == nil {
		t.Error("a field that is not there: accepted")
	}
}
