package measure

import (
	"context"
	"errors"
	"testing"

	"brokerd/bench/internal/reference"
)

func TestSpreadOf(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{7}, Spread{Median: 7, Min: 7, Max: 7, Count: 1}},
		{[]float64{9, 1, 5}, Spread{Median: 5, Min: 1, Max: 9, Count: 3}},
		{[]float64{4, 1, 3, 10}, Spread{Median: 3.5, Min: 1, Max: 10, Count: 4}},
	} {
		if got := SpreadOf(tt.values); got != tt.want {
			t.Errorf("spread of %v is %+v, want %+v", tt.values, got, tt.want)
		}
	}
}

func TestSpreadLeavesTheValuesAlone(t *testing.T) {
	values := []float64{3, 1, 2}
	SpreadOf(values)
	if values[0] != 3 || values[1] != 1 || values[2] != 2 {
		t.Fatalf("values became %v", values)
	}
}

// script is a runner that hands out prepared runs.
type script struct {
	runs   []reference.Run
	names  []string
	waits  int
	usual  error // of every wait
	broken error // of every run
}

func (s *script) runner() Runner {
	return Runner{
		Tries: 3,
		WaitUsual: func(context.Context, int) (int, error) {
			s.waits++
			return 1, s.usual
		},
		Run: func(_ context.Context, program string, _ ...string) (reference.Run, error) {
			s.names = append(s.names, program)
			if s.broken != nil {
				return reference.Run{}, s.broken
			}
			run := s.runs[0]
			s.runs = s.runs[1:]
			return run, nil
		},
	}
}

func trip(ns float64) reference.Run {
	return reference.Run{Figures: reference.Figures{Mode: "round_trip", P50Ns: ns}}
}

func dropped() reference.Run {
	return reference.Run{Dropped: "probe before the run 480 ns"}
}

func aAgainstB() Comparison {
	return Comparison{Question: "q", A: Variant{Program: "a"}, B: Variant{Program: "b"}}
}

func TestCompareInterleavesAndTakesRatiosPairByPair(t *testing.T) {
	s := &script{runs: []reference.Run{
		trip(100), trip(200), // 2.0
		dropped(),            // A does not count: B is not run
		trip(100), dropped(), // B does not count
		trip(400), trip(400), // 1.0
		trip(200), trip(300), // 1.5
	}}
	got, err := Compare(t.Context(), s.runner(), aAgainstB(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Spread{Median: 1.5, Min: 1, Max: 2, Count: 3}); got.Ratio != want {
		t.Errorf("ratio %+v, want %+v", got.Ratio, want)
	}
	if want := (Spread{Median: 200, Min: 100, Max: 400, Count: 3}); got.FiguresA != want {
		t.Errorf("figures of A %+v, want %+v", got.FiguresA, want)
	}
	if got.Dropped != 2 || len(got.Pairs) != 5 || got.Probes != 5 {
		t.Errorf("%d pairs dropped of %d, %d probes; want 2, 5, 5", got.Dropped, len(got.Pairs), got.Probes)
	}
	if want := "abaababab"; join(s.names) != want {
		t.Errorf("ran %s, want %s", join(s.names), want)
	}
}

func join(names []string) (all string) {
	for _, n := range names {
		all += n
	}
	return all
}

func TestCompareGivesUpOnAnUnusualMachine(t *testing.T) {
	s := &script{usual: reference.ErrNotUsual}
	got, err := Compare(t.Context(), s.runner(), aAgainstB(), 2)
	if err != nil {
		t.Fatal(err)
	}
	if got.Ratio.Count != 0 || len(s.names) != 0 || s.waits != 2*AttemptsPerPair {
		t.Errorf("%d pairs kept, %d runs, %d waits; want 0, 0, %d", got.Ratio.Count, len(s.names), s.waits, 2*AttemptsPerPair)
	}
}

func TestCompareStopsOnErrors(t *testing.T) {
	broken := errors.New("broken")
	s := &script{broken: broken}
	if _, err := Compare(t.Context(), s.runner(), aAgainstB(), 2); !errors.Is(err, broken) || len(s.names) != 1 {
		t.Errorf("error %v after %d runs, want the program's after 1", err, len(s.names))
	}
	s = &script{usual: context.Canceled}
	if _, err := Compare(t.Context(), s.runner(), aAgainstB(), 2); !errors.Is(err, context.Canceled) || s.waits != 1 {
		t.Errorf("error %v after %d waits, want the context's after 1", err, s.waits)
	}
}
