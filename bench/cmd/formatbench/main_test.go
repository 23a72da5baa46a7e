package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brokerd/bench/internal/measure"
	"brokerd/bench/internal/reference"
	"brokerd/bench/internal/results"
)

func TestVerdictAtTheLimit(t *testing.T) {
	trip := expectation{expected: 200}
	rate := expectation{expected: 46, more: true}
	for _, tt := range []struct {
		e      expectation
		median float64
		slow   bool
	}{
		{trip, 100, false}, {trip, 229.9, false}, {trip, 230.2, true},
		{rate, 90, false}, {rate, 40.1, false}, {rate, 39.9, true},
	} {
		if text, slow := tt.e.verdict(tt.median); slow != tt.slow {
			t.Errorf("%v against %v: %s", tt.median, tt.e.expected, text)
		}
	}
}

func TestParse(t *testing.T) {
	o, usual, err := parse([]string{"-usual", "90-160.5", "-pairs", "7", "-fifo"}, io.Discard)
	if err != nil || usual != (reference.Usual{LowNs: 90, HighNs: 160.5}) || o.pairs != 7 || !o.fifo {
		t.Fatalf("options %+v %+v, error %v", o, usual, err)
	}
	for _, bad := range []string{"-usual 150-105", "-usual fast", "-pairs 0", "-pairs 102", "-tries 1001", "now"} {
		if _, _, err := parse(strings.Fields(bad), io.Discard); err == nil {
			t.Errorf("%s: accepted", bad)
		}
	}
	if _, _, err := parse([]string{"-help"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: error %v", err)
	}
}

// The plan varies one thing at a time: the options of A and B differ in one value
// or in the program, and no comparison is asked twice. Only the batch group
// varies two: the ring and how often it publishes.
func TestPlanVariesOneThing(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range plan() {
		id := strings.Join([]string{c.Group, c.Question, c.A.Name, c.B.Name}, "|")
		if seen[id] {
			t.Errorf("asked twice: %s", id)
		}
		seen[id] = true
		differences := 0
		if c.A.Program != c.B.Program {
			differences++
		}
		if len(c.A.Args) != len(c.B.Args) {
			t.Errorf("%s: A has %v, B has %v", id, c.A.Args, c.B.Args)
			continue
		}
		for i := range c.A.Args {
			if c.A.Args[i] != c.B.Args[i] {
				differences++
			}
		}
		want := 1
		if c.Group == groupBatch {
			want = 2
		}
		if differences != want {
			t.Errorf("%s: %d differences between %v and %v, want %d", id, differences, c.A, c.B, want)
		}
	}
	if len(seen) < 40 {
		t.Errorf("only %d comparisons", len(seen))
	}
}

func TestCheckSaysWhatItSaw(t *testing.T) {
	figures := map[string]reference.Figures{
		"pingpong":    {P50Ns: 119},
		"ring_index":  {Mode: "round_trip", P50Ns: 400},
		"ring_record": {Mode: "one_way", MillionPerS: 60},
	}
	r := measure.Runner{Tries: 1,
		WaitUsual: func(context.Context, int) (int, error) { return 1, nil },
		Run: func(_ context.Context, program string, args ...string) (reference.Run, error) {
			if program == "ring_index" && args[0] != "--mode" { // its one-way run never counts
				return reference.Run{Dropped: "probe after the run 480 ns"}, nil
			}
			return reference.Run{Figures: figures[program]}, nil
		},
	}
	var out strings.Builder
	if err := check(t.Context(), r, 2, &out); !errors.Is(err, errSlow) {
		t.Errorf("error %v, want errSlow", err)
	}
	for i, want := range []string{"119.0", "400.0", "not in the usual state (6 runs dropped)", "60.0"} {
		line := strings.Split(out.String(), "\n")[i]
		if !strings.Contains(line, want) || strings.Contains(line, "SLOWER") != (i == 1) {
			t.Errorf("line %d: %s", i, line)
		}
	}
}

func TestReport(t *testing.T) {
	kept := measure.Result{Comparison: measure.Comparison{Group: "poll", Question: "kept", Unit: unitTrip,
		A: measure.Variant{Name: "index"}, B: measure.Variant{Name: "record"}},
		FiguresA: measure.Spread{Median: 200, Min: 190, Max: 210, Count: 5},
		FiguresB: measure.Spread{Median: 150, Min: 140, Max: 160, Count: 5},
		Ratio:    measure.Spread{Median: 0.75, Min: 0.7, Max: 0.8, Count: 5}, Dropped: 2}
	none := measure.Result{Comparison: measure.Comparison{Group: "align", Question: "none"}, Dropped: 15}
	r := Report{Results: []measure.Result{kept, none}}
	var out strings.Builder
	r.print(&out)
	for _, want := range []string{
		"| kept | ns round trip p50 | index: **200.0** (190.0 to 210.0) | record: **150.0** (140.0 to 160.0) | **0.75** (0.70 to 0.80) | 5 | 2 |",
		"| not in the usual state | 0 | 15 |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
	path := filepath.Join(t.TempDir(), "new", "format.json")
	if err := results.Write(path, r); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil || back.Results[0].Ratio != kept.Ratio || back.Results[1].Dropped != 15 {
		t.Fatalf("read back %+v, error %v", back, err)
	}
}
