package torture

import "fmt"

// reader is what has to be true of a reader's book.
type reader struct {
	lossless bool // it may miss nothing
	mirror   bool // it reads a mirror: what that has missed is told as gaps
	epoch    uint64
	// before is where a former reader left its cursor, nil when this one resumes nothing.
	before *cursor
	// finished: it was asked to read to the end, and has.
	finished bool
}

// cursor is what is known of where a reader stopped.
type cursor struct {
	// next is the sequence number behind the last record that it noted, or where it began.
	next uint64
	// repeats is how many records may come again, at most.
	repeats uint64
}

// behind is where a book ends.
func (b book) behind() uint64 {
	if list := b.runs(); len(list) > 0 {
		return list[len(list)-1].last + 1
	}
	return b.get(wordStart)
}

// judgeReader holds the book of a reader against the truth of its ring, and returns what is wrong. The truth must have come as far
// as the book. judged is how many records that were.
func judgeReader(b book, t *truth, want reader) (judged uint64, wrong []string) {
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if b.get(wordState) == stateStarting {
		if b.get(wordChosen) != 0 {
			complain("it has read before it was attached")
		}
		return 0, wrong
	}
	if got := b.get(wordEpoch); got != want.epoch {
		complain("epoch %d, the ring has %d", got, want.epoch)
	}
	start := b.get(wordStart)
	if want.before != nil {
		wrong = append(wrong, judgeResumed(b, t, *want.before)...)
	}
	next := start
	var missed, gaps uint64
	for i, r := range b.runs() {
		judged += r.records
		missed, gaps = missed+r.missed, gaps+r.gaps
		switch {
		case r.records == 0 || r.last < r.first:
			complain("run %d is empty: %+v", i, r)
		case r.first < next:
			complain("run %d begins at record %d, which is before %d: something came twice", i, r.first, next)
		case r.missed > 0 && (want.lossless || r.mayMiss == 0):
			complain("run %d: a lossless reader missed %d records", i, r.missed)
		case i > 0 && r.missed == 0 && !(want.mirror && r.gaps > 0):
			complain("run %d: nothing is missing before it", i)
		case r.last+1-next != r.missed+r.gaps+r.records:
			complain("run %d, records %d to %d behind %d: %d delivered, %d missed and %d in gaps are not that many", i, r.first, r.last, next, r.records, r.missed, r.gaps)
		}
		if n, sum, known := t.between(r.first, r.last); known && (n != r.records || sum != r.sum) {
			complain("run %d, records %d to %d: it got %d, there were %d, or others (sums %x, %x)", i, r.first, r.last, r.records, n, r.sum, sum)
		}
		next = r.last + 1
	}
	if b.get(wordState) == stateFinished {
		wrong = append(wrong, judgeEnd(b, judged, missed, gaps)...)
	}
	if want.finished {
		if b.get(wordState) != stateFinished {
			complain("it was to read to the end, and did not")
		} else if b.get(wordEnd) != b.get(wordTarget) {
			complain("it has read up to record %d, the ring is at %d", b.get(wordEnd), b.get(wordTarget))
		}
	}
	return judged, wrong
}

// judgeEnd compares the statistics of a reader that has ended by itself with what it has noted.
func judgeEnd(b book, records, missed, gaps uint64) (wrong []string) {
	delivered, end := b.get(wordDelivered), b.get(wordEnd)
	if delivered != records || b.get(wordMissed) < missed || b.get(wordGaps) < gaps {
		wrong = append(wrong, fmt.Sprintf("its statistics say %d delivered, %d missed, %d in gaps; it has noted %d, %d, %d", delivered, b.get(wordMissed), b.get(wordGaps), records, missed, gaps))
	}
	if start := b.get(wordStart); delivered+b.get(wordMissed)+b.get(wordGaps) != end-start {
		wrong = append(wrong, fmt.Sprintf("from record %d to %d: %d delivered, %d missed and %d in gaps are not that many", start, end, delivered, b.get(wordMissed), b.get(wordGaps)))
	}
	return wrong
}

// judgeResumed looks where a reader went on.
func judgeResumed(b book, t *truth, before cursor) (wrong []string) {
	start := b.get(wordStart)
	if b.get(wordResumed) == 0 {
		return []string{fmt.Sprintf("it did not find the cursor that its predecessor left at record %d", before.next)}
	}
	first, last := start, before.next
	if start > before.next {
		first, last = before.next, start
	}
	if first == last {
		return nil
	}
	n, _, known := t.between(first, last-1)
	switch {
	case !known:
	case start > before.next && n > 0:
		wrong = append(wrong, fmt.Sprintf("it went on at record %d, its predecessor had stopped before %d: %d records are lost", start, before.next, n))
	case start < before.next && n > before.repeats:
		wrong = append(wrong, fmt.Sprintf("it went on at record %d, its predecessor had stopped before %d: %d records come again, at most %d may", start, before.next, n, before.repeats))
	}
	return wrong
}

// judgeProducer holds the book of a producer against the truth of its ring, which is complete.
func judgeProducer(l life, begun, committed uint64, t *truth) (wrong []string) {
	last, complete := t.last(l)
	if complete && last < committed {
		wrong = append(wrong, fmt.Sprintf("life %v: record %d was committed, and %d was its last one that came", l, committed, last))
	}
	if last > begun {
		wrong = append(wrong, fmt.Sprintf("life %v: record %d came, and it has begun %d", l, last, begun))
	}
	return wrong
}
