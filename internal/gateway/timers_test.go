package gateway

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestTimers compares with a list that is sorted each time.
func TestTimers(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var heap timers
	all := make([]*timer, 50)
	due := map[*timer]int64{}
	for i := range all {
		all[i] = &timer{}
	}
	for range 20_000 {
		switch tm := all[r.IntN(len(all))]; r.IntN(4) {
		case 0:
			heap.set(tm, never)
			delete(due, tm)
		case 1:
			now := r.Int64N(1000)
			next := int64(never)
			for _, at := range due {
				next = min(next, at)
			}
			if heap.next() != next {
				t.Fatalf("next is %d, want %d", heap.next(), next)
			}
			popped := heap.pop(now)
			if (popped != nil) != (next <= now) {
				t.Fatalf("at %d with the next due at %d: popped %v", now, next, popped)
			}
			if popped != nil {
				if due[popped] != next {
					t.Fatalf("popped one due at %d, the first was at %d", due[popped], next)
				}
				delete(due, popped)
			}
		default:
			at := r.Int64N(1000)
			heap.set(tm, at)
			due[tm] = at
		}
	}
	var left []int64
	for tm := heap.pop(never - 1); tm != nil; tm = heap.pop(never - 1) {
		left = append(left, tm.due)
	}
	if len(left) != len(due) || !slices.IsSorted(left) {
		t.Fatalf("%d of %d came out, sorted: %v", len(left), len(due), slices.IsSorted(left))
	}
}
