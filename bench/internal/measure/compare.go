package measure

import (
	"context"
	"errors"
	"fmt"

	"brokerd/bench/internal/reference"
)

// AttemptsPerPair bounds the pairs tried for each pair wanted.
const AttemptsPerPair = 3

// Variant is a program and its options under a short name.
type Variant struct {
	Name    string   `json:"name"`
	Program string   `json:"program"`
	Args    []string `json:"args"`
}

// Comparison asks one question of two variants.
type Comparison struct {
	Group    string  `json:"group"`
	Question string  `json:"question"`
	Unit     string  `json:"unit"` // of the figures
	A        Variant `json:"a"`
	B        Variant `json:"b"`
}

// Pair is two runs made next to each other. B is absent when A did not count.
type Pair struct {
	A    reference.Run  `json:"a"`
	B    *reference.Run `json:"b,omitempty"`
	Kept bool           `json:"kept"`
}

// Result is a comparison with all its runs. Ratio is B/A, pair by pair.
type Result struct {
	Comparison
	FiguresA Spread `json:"a_figures"`
	FiguresB Spread `json:"b_figures"`
	Ratio    Spread `json:"ratio"`
	Dropped  int    `json:"pairs_dropped"`
	Probes   int    `json:"probes_waited"`
	Pairs    []Pair `json:"pairs"`
}

// Runner starts one program; reference.Programs in production.
type Runner struct {
	Run       func(ctx context.Context, program string, args ...string) (reference.Run, error)
	WaitUsual func(ctx context.Context, tries int) (probes int, err error)
	Tries     int // probes allowed before each pair
}

// Compare runs pairs until enough of them count, or the attempts are used up:
// the result then holds fewer pairs, and says so by Count. Not reaching the
// usual state uses up an attempt. Errors are those of a broken program or an
// ended context.
func Compare(ctx context.Context, r Runner, c Comparison, pairs int) (Result, error) {
	result := Result{Comparison: c}
	var as, bs, ratios []float64
	for attempt := 0; attempt < pairs*AttemptsPerPair && len(ratios) < pairs; attempt++ {
		probes, err := r.WaitUsual(ctx, r.Tries)
		result.Probes += probes
		if errors.Is(err, reference.ErrNotUsual) {
			continue
		}
		if err != nil {
			return result, err
		}
		pair, err := runPair(ctx, r, c)
		if err != nil {
			return result, fmt.Errorf("%s: %w", c.Question, err)
		}
		result.Pairs = append(result.Pairs, pair)
		if !pair.Kept {
			result.Dropped++
			continue
		}
		a, b := pair.A.Figures.Value(), pair.B.Figures.Value()
		as, bs, ratios = append(as, a), append(bs, b), append(ratios, round(b/a))
	}
	result.FiguresA, result.FiguresB, result.Ratio = SpreadOf(as), SpreadOf(bs), SpreadOf(ratios)
	return result, nil
}

func runPair(ctx context.Context, r Runner, c Comparison) (Pair, error) {
	a, err := r.Run(ctx, c.A.Program, c.A.Args...)
	pair := Pair{A: a}
	if err != nil || a.Dropped != "" {
		return pair, err
	}
	b, err := r.Run(ctx, c.B.Program, c.B.Args...)
	pair.B = &b
	pair.Kept = err == nil && b.Dropped == ""
	return pair, err
}
