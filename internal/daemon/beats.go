package daemon

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// beatSilenceMax is how long a loop may be silent before the daemon counts as
// unhealthy. Loops beat at least once a second.
const beatSilenceMax = 5 * time.Second

// beats knows when each loop was last seen alive. It is safe for concurrent
// use.
type beats struct {
	now  func() time.Time
	mu   sync.Mutex
	last map[string]time.Time // by the name of the loop
}

func newBeats(now func() time.Time) *beats {
	return &beats{now: now, last: map[string]time.Time{}}
}

// join begins to watch a loop, which calls beat while it is alive. Nobody
// expects a beat after release.
func (b *beats) join(loop string) (beat, release func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last[loop] = b.now()
	beat = func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if _, watched := b.last[loop]; watched {
			b.last[loop] = b.now()
		}
	}
	return beat, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.last, loop)
	}
}

// late returns a sentence for each loop that has been silent for too long, in
// the order of their names.
func (b *beats) late() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var late []string
	for loop, last := range b.last {
		if silent := b.now().Sub(last); silent > beatSilenceMax {
			late = append(late, fmt.Sprintf("%s: no beat for %v, expected one each %v",
				loop, silent.Round(100*time.Millisecond), beatSilenceMax))
		}
	}
	slices.Sort(late)
	return late
}
