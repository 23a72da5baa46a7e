package torture

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"brokerd/client"
)

// truthRecordsMax bounds what is kept of a ring: readers live for seconds, this is minutes.
const truthRecordsMax = 1 << 20

// truth is what a ring has had, as a reader of the test saw it that is never killed. It is safe for concurrent use.
type truth struct {
	mu        sync.Mutex
	witness   *witness
	records   []entry
	forgotten uint64 // below this sequence number nothing is known any more
	holes     []span // what that reader itself has missed
	count     uint64
	gaps      uint64
	moved     time.Time // when the newest record came
	err       error     // what that reader has found
}

// entry is one record, and all before it.
type entry struct {
	sequence uint64
	count    uint64 // of records before it
	sum      uint64 // of their mixes
	mix      uint64
}

// span are sequence numbers from first to last.
type span struct{ first, last uint64 }

func newTruth() *truth { return &truth{witness: newWitness(0, 0), moved: time.Now()} }

// add takes the next record.
func (t *truth) add(rec client.Record, mayMiss bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	next, lives := t.witness.next, len(t.witness.lives)
	s, err := t.witness.see(rec, mayMiss)
	if err != nil {
		return err
	}
	if len(t.witness.lives) > lives && s.n != 1 && t.witness.missed == 0 {
		return fmt.Errorf("the first record of life %v is its record %d, and nothing was missed", s.life, s.n)
	}
	if rec.Missed > 0 {
		t.holes = append(t.holes, span{next, rec.Sequence - 1})
	}
	e := entry{sequence: rec.Sequence, count: t.count, mix: s.mix(rec.Position, rec.Sequence)}
	if n := len(t.records); n > 0 {
		e.sum = t.records[n-1].sum + t.records[n-1].mix
	}
	t.records = append(t.records, e)
	t.count++
	t.gaps += rec.Gaps
	t.moved = time.Now()
	if len(t.records) > truthRecordsMax {
		t.records = slices.Clone(t.records[truthRecordsMax/2:])
		t.forgotten = t.records[0].sequence
	}
	return nil
}

// fail notes why there will be no more.
func (t *truth) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

// progress is how many records there were, when the last one came, and what went wrong.
func (t *truth) progress() (count uint64, moved time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count, t.moved, t.err
}

// next is the sequence number behind the newest record.
func (t *truth) next() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.witness.next
}

// last is the number of the newest record of a life; complete: the truth has no holes.
func (t *truth) last(l life) (n uint64, complete bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.witness.lives[l.key()].n, len(t.holes) == 0
}

// between is how many records have sequence numbers from first to last, and the sum of their mixes. known: that
// is all there was.
func (t *truth) between(first, last uint64) (n, sum uint64, known bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if first < t.forgotten || last >= t.witness.next {
		return 0, 0, false
	}
	for _, hole := range t.holes {
		if first <= hole.last && hole.first <= last {
			return 0, 0, false
		}
	}
	find := func(sequence uint64) (count, sum uint64) {
		i, _ := slices.BinarySearchFunc(t.records, sequence, func(e entry, s uint64) int {
			switch {
			case e.sequence < s:
				return -1
			case e.sequence > s:
				return 1
			}
			return 0
		})
		if i == len(t.records) {
			if i == 0 {
				return 0, 0
			}
			e := t.records[i-1]
			return e.count + 1, e.sum + e.mix
		}
		return t.records[i].count, t.records[i].sum
	}
	fromCount, fromSum := find(first)
	toCount, toSum := find(last + 1)
	return toCount - fromCount, toSum - fromSum, true
}
