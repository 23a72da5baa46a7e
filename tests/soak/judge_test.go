package soak

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestJudgeSeesALeak: a heap that goes up and down passes; with a leak of 30 bytes an
// attachment below it, it does not.
func TestJudgeSeesALeak(t *testing.T) {
	for _, c := range []struct {
		perSecond float64 // bytes
		want      string
	}{{0, ""}, {200 * 30, "heap grows by 3"}} {
		random := rand.New(rand.NewPCG(1, 2))
		var samples []sample
		for i := range 600 {
			leaked := c.perSecond * float64(i)
			s := sample{at: time.Duration(i) * time.Second, heap: 3e6 + 4e6*random.Float64() + leaked, files: 50 + float64(random.IntN(20))}
			s.own = 12e6 + 1e6*random.Float64() + leaked
			samples = append(samples, s)
		}
		verdicts, trends := judge("x", samples)
		if got := strings.Join(verdicts, "\n"); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%v bytes a second: %q, want %q; %s", c.perSecond, got, c.want, trends)
		}
	}
}
