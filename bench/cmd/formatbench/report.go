package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"brokerd/bench/internal/measure"
	"brokerd/bench/internal/reference"
)

// Report is the file of raw results.
type Report struct {
	Date      time.Time        `json:"date"`
	Command   string           `json:"command"`
	Machine   Machine          `json:"machine"`
	Usual     reference.Usual  `json:"usual_probe"`
	LoadAfter string           `json:"load_after"`
	Results   []measure.Result `json:"results"`
}

// print writes the machine, then a Markdown table for each group.
func (r *Report) print(out io.Writer) {
	m := r.Machine
	fmt.Fprintf(out, "%s, %d cores (%s), kernel %s, %s %s, %s\n", m.CPU, m.Cores, strings.Join(m.Caches, ", "), m.Kernel, m.Compiler, m.Flags, m.Go)
	fmt.Fprintf(out, "`%s`, %s; load before: %s, after: %s\n", r.Command, r.Date.Format(time.RFC3339), m.LoadBefore, r.LoadAfter)
	fmt.Fprintf(out, "Usual state: probe %.0f to %.0f ns. Figures: median (min to max) of the pairs kept; ratio B/A pair by pair.\n", r.Usual.LowNs, r.Usual.HighNs)
	group := ""
	for _, res := range r.Results {
		if res.Group != group {
			group = res.Group
			fmt.Fprintf(out, "\n### %s\n\n| comparison | unit | A | B | B/A | kept | dropped |\n|---|---|---|---|---|---|---|\n", group)
		}
		fmt.Fprintf(out, "| %s | %s | %s: %s | %s: %s | %s | %d | %d |\n", res.Question, res.Unit,
			res.Comparison.A.Name, cell(res.FiguresA, 1), res.Comparison.B.Name, cell(res.FiguresB, 1),
			cell(res.Ratio, 2), res.Ratio.Count, res.Dropped)
	}
}

func cell(s measure.Spread, decimals int) string {
	if s.Count == 0 {
		return "not in the usual state"
	}
	return fmt.Sprintf("**%.*f** (%.*f to %.*f)", decimals, s.Median, decimals, s.Min, decimals, s.Max)
}
