package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"brokerd/bench/internal/measure"
)

// Case is one question: ours against a reference, or ours alone against a bound.
type Case struct {
	Name     string  `json:"name"`
	Question string  `json:"question"`
	Unit     string  `json:"unit"`
	Bar      float64 `json:"bar"`   // of the ratio ours/reference, or of ours where there is no reference
	Floor    float64 `json:"floor"` // what bench-check wants at least
	Less     bool    `json:"less"`  // less is better: bar and floor are upper bounds

	ours, reference func(context.Context) (float64, error)
	done            func() // ends what the runs share, so that it takes nothing from the next case; may be nil
}

// Result is a case with all its runs.
type Result struct {
	Case
	Ours       measure.Spread `json:"ours_figures"`
	Reference  measure.Spread `json:"reference_figures"`
	Ratio      measure.Spread `json:"ratio"` // ours/reference, pair by pair
	Pairs      []Pair         `json:"pairs"`
	NotRunSays string         `json:"not_run,omitempty"` // why there is no figure
}

// Pair is two runs made one after the other. Reference is 0 where there is none.
type Pair struct {
	Reference float64 `json:"reference"`
	Ours      float64 `json:"ours"`
}

// errNotHere says that a peer is not installed: the case is left out, by name.
var errNotHere = errors.New("not installed")

// compare runs reference and ours in turn.
func compare(ctx context.Context, c Case, pairs int, progress io.Writer) (Result, error) {
	r := Result{Case: c}
	if c.done != nil {
		defer c.done()
	}
	var ours, references, ratios []float64
	for n := range pairs {
		var p Pair
		var err error
		if c.reference != nil {
			if p.Reference, err = c.reference(ctx); errors.Is(err, errNotHere) {
				r.NotRunSays = err.Error()
				fmt.Fprintf(progress, "%s: left out: %v\n", c.Name, err)
				return r, nil
			}
			if err != nil {
				return r, fmt.Errorf("reference: %w", err)
			}
			references = append(references, p.Reference)
		}
		if p.Ours, err = c.ours(ctx); err != nil {
			return r, fmt.Errorf("ours: %w", err)
		}
		ours = append(ours, p.Ours)
		if c.reference != nil {
			ratios = append(ratios, p.Ours/p.Reference)
		}
		r.Pairs = append(r.Pairs, p)
		fmt.Fprintf(progress, "%s: run %d of %d: ours %.4g %s", c.Name, n+1, pairs, p.Ours, c.Unit)
		if c.reference != nil {
			fmt.Fprintf(progress, ", reference %.4g", p.Reference)
		}
		fmt.Fprintln(progress)
	}
	r.Ours, r.Reference, r.Ratio = measure.SpreadOf(ours), measure.SpreadOf(references), measure.SpreadOf(ratios)
	return r, nil
}

// figure is what the bar is about.
func (r Result) figure() measure.Spread {
	if r.Ratio.Count > 0 {
		return r.Ratio
	}
	return r.Ours
}

// meets says whether the figure is at least as good as bound.
func (r Result) meets(bound float64) bool {
	f := r.figure()
	if f.Count == 0 {
		return false
	}
	if r.Less {
		return f.Median <= bound
	}
	return f.Median >= bound
}
