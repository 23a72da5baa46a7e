package main

import (
	"fmt"
	"io"
	"runtime"
	"time"

	"brokerd/bench/internal/measure"
	"brokerd/bench/internal/results"
)

// Machine is what the figures belong to.
type Machine struct {
	results.Machine
	Go         string `json:"go"`
	LoadBefore string `json:"load_before"`
}

func machineFacts() Machine {
	return Machine{Machine: results.ThisMachine(), Go: runtime.Version(), LoadBefore: results.LoadAverage()}
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
