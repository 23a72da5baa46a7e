package client

import (
	"fmt"
	"math"
	"time"
)

// patience is how long the other side may be silent while it owes an answer. It
// grows when nothing came of a new connection either: a reader over there may hold
// what we publish, for as long as it likes.
type patience struct {
	least, now time.Duration
}

// patienceMax is the longest that doubling leads to.
const patienceMax = time.Minute

func (p *patience) limit() time.Duration { return max(p.now, p.least) }
func (p *patience) grow()                { p.now = min(2*p.limit(), patienceMax) }

// heard notes that something came, and tells those who wait for acknowledgements.
func (r *Remote) heard(l *line) {
	if l.owed != 0 {
		l.owed = r.now()
	}
	for _, s := range l.streams {
		if s.progressed() {
			r.patience.now = 0
		}
	}
	r.tell()
}

// tell wakes those who wait for acknowledgements.
func (r *Remote) tell() {
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

// silence breaks the line when the other side has owed an answer for too long, and
// says when to look again.
func (r *Remote) silence(l *line, now int64) int64 {
	owes := false
	for _, s := range l.streams {
		owes = owes || s.owed()
	}
	if !owes {
		l.owed = 0
		return math.MaxInt64
	}
	if l.owed == 0 {
		l.owed = now
	}
	limit := r.patience.limit()
	if silent := time.Duration(now - l.owed); silent >= limit {
		r.patience.grow()
		l.stop(fmt.Errorf("no answer for %v, to data or to a question", silent.Round(time.Millisecond)))
	}
	return l.owed + int64(limit)
}
