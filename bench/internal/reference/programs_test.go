package reference

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

// build compiles the C programs into a folder of the test's own.
func build(t *testing.T) Programs {
	t.Helper()
	for _, tool := range []string{"make", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	if runtime.NumCPU() < 2 {
		t.Skip("needs two cores")
	}
	dir := t.TempDir()
	if _, err := Build(t.Context(), "../../reference", dir); err != nil {
		t.Fatal(err)
	}
	return Programs{Dir: dir, Usual: Usual{LowNs: 1, HighNs: 1e9}}
}

// TestShapes runs every option on both rings. The programs check each record's
// length and the sum of all data themselves and fail when one is wrong.
func TestShapes(t *testing.T) {
	p := build(t)
	for _, program := range []string{"ring_index", "ring_record"} {
		for _, args := range [][]string{
			{"--mode", "round_trip"},
			{"--mode", "round_trip", "--payload", "1008", "--stores", "wide"},
			{"--batch", "16", "--stores", "wide"},
			{"--lag", "near", "--batch", "4"},
			{"--lag", "far"},
			{"--header", "24", "--align", "8", "--payload", "41"},
			{"--header", "32", "--payload", "8", "--stores", "wide", "--align", "8"},
			{"--capacity", "16384", "--payload", "200"}, // many laps, many pads
		} {
			args = append(args, "--count", "20000")
			t.Run(program+" "+strings.Join(args, " "), func(t *testing.T) {
				run, err := p.Run(t.Context(), program, args...)
				if err != nil {
					t.Fatal(err)
				}
				if f := run.Figures; f.Program != program || f.Frame < f.Header+f.Payload || f.Frame%f.Align != 0 || f.Count != 20096 {
					t.Fatalf("figures do not fit the options: %+v", f)
				}
			})
		}
	}
}

func TestBadOptions(t *testing.T) {
	p := build(t)
	for _, tt := range []struct{ args, problem string }{
		{"--align 12", "want a multiple of 8"},
		{"--capacity 1000000", "want a power of two"},
		{"--batch 1024 --payload 512", "at most a quarter"},
		{"--mode round_trip --batch 16", "belong to --mode one_way"},
		{"--lag sideways", "not one of the choices"},
		{"--cores 0,0", "want two different cores"},
		{"--cores 0", "want two core numbers"},
		{"--payload -1", "want a whole number"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			_, err := p.Run(t.Context(), "ring_record", strings.Fields(tt.args)...)
			if !errors.Is(err, ErrProgram) || !strings.Contains(err.Error(), tt.problem) {
				t.Fatalf("error %v, want ErrProgram with %q", err, tt.problem)
			}
		})
	}
}

func TestWaitUsual(t *testing.T) {
	p := build(t)
	p.Usual = Usual{LowNs: 0, HighNs: 0.001} // no machine is so fast
	probes, err := p.WaitUsual(t.Context(), 2)
	if probes != 2 || !errors.Is(err, ErrNotUsual) {
		t.Fatalf("%d probes, error %v; want 2 and ErrNotUsual", probes, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.WaitUsual(ended, 2); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want the context's", err)
	}
}

func TestBuildNamesTheWayOut(t *testing.T) {
	_, err := Build(t.Context(), t.TempDir(), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "-reference") {
		t.Fatalf("error %v, want one that names -reference", err)
	}
}
