package torture

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// violationsMax is how many are told.
const violationsMax = 8

// tally counts what was done, and keeps what went wrong. It is safe for concurrent use.
type tally struct {
	mu       sync.Mutex
	kills    map[string]int // by kind of victim
	stops    int
	lives    int
	judged   uint64 // records in books that were held against the truth
	found    int    // stopped processes that were looked for in the list of attachments
	finished int    // lives that ended by themselves
	resumed  int    // lives that went on at a cursor
	// Of the processes that held a ring: how many did so while they were stopped, and how many went on.
	heldStopped, heldContinued int
	took                       map[string][]held
	wrong                      []string
	alarm                      chan struct{} // closed with the first violation
}

func newTally() *tally {
	return &tally{kills: map[string]int{}, took: map[string][]held{}, alarm: make(chan struct{})}
}

// do changes counts.
func (t *tally) do(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
}

// violation notes what went wrong.
func (t *tally) violation(format string, args ...any) {
	t.do(func() {
		switch {
		case len(t.wrong) == 0:
			close(t.alarm)
		case len(t.wrong) == violationsMax: // the rest follows from the first ones
			return
		}
		t.wrong = append(t.wrong, fmt.Sprintf(format, args...))
	})
}

func (t *tally) killed(kind string) { t.do(func() { t.kills[kind]++ }) }

// sum is how many were killed.
func (t *tally) sum() (n int) {
	t.do(func() {
		for _, k := range t.kills {
			n += k
		}
	})
	return n
}

// byKind are the kills, for a line.
func (t *tally) byKind() string {
	var parts []string
	t.do(func() {
		for _, kind := range slices.Sorted(maps.Keys(t.kills)) {
			parts = append(parts, fmt.Sprintf("%s %d", kind, t.kills[kind]))
		}
	})
	return strings.Join(parts, ", ")
}

// distribution says how long others were held, of one kind.
func distribution(took []time.Duration) string {
	if len(took) == 0 {
		return "never measured"
	}
	took = slices.Sorted(slices.Values(took))
	over := 0
	for _, d := range took {
		if d > heldGoal {
			over++
		}
	}
	at := func(part int) time.Duration {
		return took[min(len(took)*part/1000, len(took)-1)].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("%d times, median %v, 90%% %v, 99%% %v, longest %v, over %v: %d", len(took), at(500), at(900), at(990), at(1000), heldGoal, over)
}
