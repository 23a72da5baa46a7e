package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"brokerd/bench/internal/measure"
)

// Machine is what the figures belong to.
type Machine struct {
	Kernel     string `json:"kernel"`
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Go         string `json:"go"`
	LoadBefore string `json:"load_before"`
}

func machineFacts() Machine {
	m := Machine{
		Kernel: firstLine("/proc/sys/kernel/osrelease"), CPU: "unknown", Cores: runtime.NumCPU(),
		Go: runtime.Version(), LoadBefore: firstLine("/proc/loadavg"),
	}
	text, _ := os.ReadFile("/proc/cpuinfo") // a missing fact is no reason to stop
	for line := range strings.Lines(string(text)) {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
		}
	}
	return m
}

func firstLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

// Report is the file of raw results.
type Report struct {
	Date      time.Time `json:"date"`
	Command   string    `json:"command"`
	Machine   Machine   `json:"machine"`
	Quick     bool      `json:"quick"`
	LoadAfter string    `json:"load_after"`
	Results   []Result  `json:"results"`
}

func (r *Report) write(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encode results: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

func (r *Report) print(out io.Writer) {
	m := r.Machine
	fmt.Fprintf(out, "%s, %d cores, kernel %s, %s\n`%s`, %s; load before: %s, after: %s\n", m.CPU, m.Cores, m.Kernel, m.Go,
		r.Command, r.Date.Format(time.RFC3339), m.LoadBefore, r.LoadAfter)
	if r.Quick {
		fmt.Fprintln(out, "Quick: sizes too small for figures to mean anything.")
	}
	fmt.Fprint(out, "\n| case | unit | reference | ours | ours/reference | bar | floor | |\n|---|---|---|---|---|---|---|---|\n")
	for _, res := range r.Results {
		fmt.Fprintf(out, "| %s: %s | %s | %s | %s | %s | %s | %s | %s |\n", res.Name, res.Question, res.Unit,
			cell(res.Reference), cell(res.Ours), cell(res.Ratio), res.bound(res.Bar), res.bound(res.Floor), res.verdict())
	}
}

func (r Result) bound(v float64) string {
	if r.Less {
		return fmt.Sprintf("<= %g", v)
	}
	return fmt.Sprintf(">= %g", v)
}

func (r Result) verdict() string {
	switch {
	case r.NotRunSays != "":
		return r.NotRunSays
	case r.meets(r.Bar):
		return "meets the bar"
	case r.meets(r.Floor):
		return "above the floor"
	}
	return "BELOW THE FLOOR"
}

func cell(s measure.Spread) string {
	if s.Count == 0 {
		return "-"
	}
	return fmt.Sprintf("**%.4g** (%.4g to %.4g)", s.Median, s.Min, s.Max)
}

// errFloor is a figure that does not reach its floor.
var errFloor = errors.New("below the floor")

// check reads the newest results and says which bars they meet. The error is errFloor where a
// floor is missed or a figure is missing.
func check(dir string, out io.Writer) error {
	files, err := filepath.Glob(filepath.Join(dir, "????-??-??-gateway.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no results in %s: run make bench-gateway first", dir)
	}
	slices.Sort(files)
	path := files[len(files)-1]
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var r Report
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	fmt.Fprintf(out, "%s\n", path)
	bad := 0
	for _, res := range r.Results {
		f := res.figure()
		fmt.Fprintf(out, "%-24s %8.3g (%.3g to %.3g)  bar %s, floor %s: %s\n", res.Name, f.Median, f.Min, f.Max, res.bound(res.Bar), res.bound(res.Floor), res.verdict())
		if !res.meets(res.Floor) {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%w: %d of %d figures", errFloor, bad, len(r.Results))
	}
	return nil
}
