package gateway

import (
	"container/heap"
	"math"
)

// never is when a timer is due that is not set.
const never = math.MaxInt64

// timer is something that is to happen at a time of the loop's clock.
type timer struct {
	due   int64
	place int // in the heap, from 1; 0: not in it
	fire  func(now int64)
}

// timers are those that are set, the next one first.
type timers struct{ heap timerHeap }

// next is when the first timer is due, or never.
func (t *timers) next() int64 {
	if len(t.heap) == 0 {
		return never
	}
	return t.heap[0].due
}

// set makes tm due at a time, never included, wherever it stood before.
func (t *timers) set(tm *timer, due int64) {
	switch {
	case tm.place == 0 && due == never:
	case tm.place == 0:
		tm.due = due
		heap.Push(&t.heap, tm)
	case due == never:
		heap.Remove(&t.heap, tm.place-1)
	case due != tm.due:
		tm.due = due
		heap.Fix(&t.heap, tm.place-1)
	}
}

// pop takes out the first timer if it is due by now, else returns nil.
func (t *timers) pop(now int64) *timer {
	if t.next() > now {
		return nil
	}
	return heap.Pop(&t.heap).(*timer)
}

// timerHeap is ordered as container/heap wants it.
type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, k int) bool { return h[i].due < h[k].due }

func (h timerHeap) Swap(i, k int) {
	h[i], h[k] = h[k], h[i]
	h[i].place, h[k].place = i+1, k+1
}

func (h *timerHeap) Push(x any) {
	tm := x.(*timer)
	*h = append(*h, tm)
	tm.place = len(*h)
}

func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	tm := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	tm.place = 0
	return tm
}
