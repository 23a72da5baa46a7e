package torture

import (
	"fmt"

	"brokerd/client"
)

// witness looks at the records of one reader as they come.
type witness struct {
	next     uint64 // sequence number behind the last one
	position uint64 // least one of the next record
	missed   uint64 // records
	lives    map[uint64]seen
	at       run // that is under way
	runs     uint64
	started  bool // at is one
	mirror   bool // of a mirror: what an outage has cost it is told as gaps
}

// seen is the last record of a life, and how much had been missed by then.
type seen struct{ n, missed uint64 }

func newWitness(sequence, position uint64) *witness {
	return &witness{next: sequence, position: position, lives: map[uint64]seen{}}
}

// see checks a record: its payload, its place, what is told to be missing before it, and that it follows the one of
// its producer before. mayMiss: the reader may miss records at all.
func (w *witness) see(rec client.Record, mayMiss bool) (stamp, error) {
	s, err := readStamp(rec.Payload)
	at := fmt.Sprintf("the record at %d, number %d of the ring", rec.Position, rec.Sequence)
	switch before := w.lives[s.key()]; {
	case err != nil:
		return s, fmt.Errorf("%s: %w", at, err)
	case rec.Position < w.position:
		return s, fmt.Errorf("%s: positions go back, or it comes twice: at least %d was to come", at, w.position)
	case rec.Sequence != w.next+rec.Missed+rec.Gaps:
		return s, fmt.Errorf("%s: %d was to come, and %d missed and %d in gaps are told", at, w.next, rec.Missed, rec.Gaps)
	case rec.Missed > 0 && !mayMiss:
		return s, fmt.Errorf("%s: a lossless reader is told that it missed %d", at, rec.Missed)
	case s.n <= before.n:
		return s, fmt.Errorf("%s: record %d of life %v follows its record %d", at, s.n, s.life, before.n)
	case before.n > 0 && before.missed == w.missed+w.lost(rec) && s.n != before.n+1:
		return s, fmt.Errorf("%s: record %d of life %v follows its record %d, and none is told to be missed", at, s.n, s.life, before.n)
	}
	w.missed += w.lost(rec)
	w.next, w.position = rec.Sequence+1, rec.Position+1
	w.lives[s.key()] = seen{s.n, w.missed}
	w.add(rec, s, mayMiss)
	return s, nil
}

// lost is how many records may be missing before this one.
func (w *witness) lost(rec client.Record) uint64 {
	if w.mirror {
		return rec.Missed + rec.Gaps
	}
	return rec.Missed
}

// add makes the record one of the run, or the first of the next.
func (w *witness) add(rec client.Record, s stamp, mayMiss bool) {
	if w.lost(rec) > 0 || !w.started {
		if w.started {
			w.runs++
		}
		w.started = true
		w.at = run{first: rec.Sequence, missed: rec.Missed}
		if mayMiss {
			w.at.mayMiss = 1
		}
	}
	w.at.last, w.at.position = rec.Sequence, rec.Position
	w.at.records++
	w.at.sum += s.mix(rec.Position, rec.Sequence)
	w.at.gaps += rec.Gaps
}
