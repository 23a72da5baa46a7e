package measure

import (
	"math"
	"slices"
)

// Spread is a set of values in short.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Count  int     `json:"count"`
}

// SpreadOf summarises values, in whose order nothing lies; of none it is zero.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	median := sorted[n/2]
	if n%2 == 0 {
		median = (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return Spread{Median: round(median), Min: sorted[0], Max: sorted[n-1], Count: n}
}

// round cuts a value to four decimals, so that results stay readable.
func round(value float64) float64 {
	return math.Round(value*1e4) / 1e4
}
