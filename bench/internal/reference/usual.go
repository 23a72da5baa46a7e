package reference

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	usualPause = 200 * time.Millisecond // states of the machine last for seconds
	probeMs    = "20"
)

// ErrNotUsual means that the machine did not reach its usual state in the
// tries allowed.
var ErrNotUsual = errors.New("machine is not in its usual state")

// Usual is the range of round trips, in ns, that a bare cache line shows in the
// state in which runs are compared. Virtual cores wander: well below it they
// are two threads of one core, well above it they share no cache.
type Usual struct {
	LowNs  float64 `json:"low_ns"`
	HighNs float64 `json:"high_ns"`
}

func (u Usual) holds(ns float64) bool {
	return ns >= u.LowNs && ns <= u.HighNs
}

// judge says why a run does not count, or nothing.
func (u Usual) judge(f Figures) string {
	if f.Preemptions > preemptionsMax {
		return fmt.Sprintf("shared its cores: preempted %d times, at most %d allowed", f.Preemptions, preemptionsMax)
	}
	if f.Program == "pingpong" { // it is a probe itself
		if !u.holds(f.P50Ns) {
			return fmt.Sprintf("probe %.0f ns", f.P50Ns)
		}
		return ""
	}
	if !u.holds(f.ProbeBefore) {
		return fmt.Sprintf("probe before the run %.0f ns", f.ProbeBefore)
	}
	if !u.holds(f.ProbeAfter) {
		return fmt.Sprintf("probe after the run %.0f ns", f.ProbeAfter)
	}
	return ""
}

// WaitUsual probes until the machine is in its usual state and returns how many
// probes that took. After tries probes the error wraps ErrNotUsual and says
// what the last one showed.
func (p Programs) WaitUsual(ctx context.Context, tries int) (int, error) {
	last := "no probe made"
	for n := 1; n <= tries; n++ {
		run, err := p.Run(ctx, "pingpong", "--ms", probeMs)
		if err != nil {
			return n, err
		}
		if run.Dropped == "" {
			return n, nil
		}
		last = run.Dropped
		select {
		case <-ctx.Done():
			return n, ctx.Err()
		case <-time.After(usualPause):
		}
	}
	return tries, fmt.Errorf("%w (%.0f to %.0f ns) after %d probes: %s", ErrNotUsual, p.Usual.LowNs, p.Usual.HighNs, tries, last)
}
