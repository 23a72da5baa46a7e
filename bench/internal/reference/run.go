package reference

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	runTimeMax     = 30 * time.Second // the programs give up by themselves after 20 s
	exitGaveUp     = 3                // EXIT_GAVE_UP of reference.h
	preemptionsMax = 4                // a few come from start-up; a shared core shows hundreds
	outputBytesMax = 64 << 10
)

// ErrProgram means that a C program failed or printed something unexpected.
var ErrProgram = errors.New("reference program failed")

// Figures is the line a program prints. Times are nanoseconds of one round
// trip; sizes are bytes. Fields that do not belong to the program are zero.
type Figures struct {
	Program     string  `json:"program"`
	Mode        string  `json:"mode,omitempty"` // one_way, round_trip
	Payload     int     `json:"payload,omitempty"`
	Header      int     `json:"header,omitempty"`
	Align       int     `json:"align,omitempty"`
	Frame       int     `json:"frame,omitempty"`
	Batch       int     `json:"batch,omitempty"`
	Lag         string  `json:"lag,omitempty"`
	Stores      string  `json:"stores,omitempty"`
	Capacity    int     `json:"capacity,omitempty"`
	Count       int     `json:"count,omitempty"`
	Ms          int     `json:"ms,omitempty"`
	Trips       int     `json:"trips,omitempty"`
	MinNs       float64 `json:"min_ns,omitempty"`
	P50Ns       float64 `json:"p50_ns,omitempty"`
	P99Ns       float64 `json:"p99_ns,omitempty"`
	MillionPerS float64 `json:"million_per_s,omitempty"`
	ProbeBefore float64 `json:"probe_before_ns,omitempty"`
	ProbeAfter  float64 `json:"probe_after_ns,omitempty"`
	Preemptions int     `json:"preemptions"`
}

// Value is the figure a program is run for: records in millions per second of a
// one-way run, else the median round trip in ns.
func (f Figures) Value() float64 {
	if f.Mode == "one_way" {
		return f.MillionPerS
	}
	return f.P50Ns
}

// Run is one execution: what was started, what it printed, and why it does not
// count (empty when it does).
type Run struct {
	Args    []string `json:"args"`
	Figures Figures  `json:"figures"`
	Dropped string   `json:"dropped,omitempty"`
}

// Programs starts the C programs of one build folder.
type Programs struct {
	Dir    string   // where the programs are
	Common []string // options that every program gets (cores, priority)
	Usual  Usual
}

// Run runs one program and judges the run. The error wraps ErrProgram, or is
// the context's.
func (p Programs) Run(ctx context.Context, program string, args ...string) (Run, error) {
	run := Run{Args: append([]string{program}, args...)}
	ctx, cancel := context.WithTimeout(ctx, runTimeMax)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(p.Dir, program), append(args[:len(args):len(args)], p.Common...)...)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	err := cmd.Run()
	if ctx.Err() != nil {
		return run, fmt.Errorf("%s: %w", strings.Join(run.Args, " "), ctx.Err())
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == exitGaveUp {
		run.Dropped = "gave up: the cores were taken by other programs"
		return run, nil
	}
	if err != nil {
		return run, fmt.Errorf("%w: %s: %w: %s", ErrProgram, strings.Join(run.Args, " "), err, strings.TrimSpace(problem.String()))
	}
	run.Figures, err = decode(out.Bytes())
	if err != nil {
		return run, fmt.Errorf("%w: %s: %w", ErrProgram, strings.Join(run.Args, " "), err)
	}
	run.Dropped = p.Usual.judge(run.Figures)
	return run, nil
}

// decode reads one line of JSON, strictly.
func decode(line []byte) (Figures, error) {
	var f Figures
	if len(line) > outputBytesMax {
		return f, fmt.Errorf("printed %d bytes, at most %d expected", len(line), outputBytesMax)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return f, fmt.Errorf("output %q: %w", line, err)
	}
	if f.Value() <= 0 {
		return f, fmt.Errorf("output %q: holds neither a rate nor a round trip", line)
	}
	return f, nil
}
