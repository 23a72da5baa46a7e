package broker

import (
	"fmt"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// claimOpenMax is how long a claim among many producers may be open before that
// is a problem to tell of: a producer claims and commits within microseconds, but
// one that was stopped in between makes everybody wait.
const claimOpenMax = time.Second

// lookAtClaims notes since when the open claims of a ring have been open. One in a
// slot that nobody has is a forgery, by a process that has detached and writes still:
// nobody would ever commit it.
func (b *Broker) lookAtClaims(r *ring) {
	open, err := r.mem.OpenClaims()
	if err != nil {
		return // the sweep judges the ring itself
	}
	before := r.claims
	r.claims = nil
	for _, c := range open {
		if r.held[slotRef{wire.RoleProducer, c.Slot}] == nil {
			b.retire(r, fmt.Errorf("%w: at position %d: producer slot %d, which nobody has, has a claim open", shmring.ErrCorrupt, c.Position, c.Slot))
			return
		}
		since, known := before[c]
		if !known {
			since = b.now()
		}
		if r.claims == nil {
			r.claims = map[shmring.OpenClaim]time.Time{}
		}
		r.claims[c] = since
	}
}

// stuckClaims tells whom a ring waits for, one sentence each.
func (b *Broker) stuckClaims(r *ring) (problems []string) {
	for _, a := range r.ordered() {
		for c, since := range r.claims {
			age := b.now().Sub(since)
			if a.ref != (slotRef{wire.RoleProducer, c.Slot}) || age < claimOpenMax {
				continue
			}
			problems = append(problems, fmt.Sprintf("ring %s: %s (%s, pid %d) has claimed position %d and not committed it for %s: readers wait there, and producers when the ring is full; "+
				"let the process go on (kill -CONT %d) or end it, to detach it does not help",
				r.info.Name, a.id, a.record.Name, a.record.PID, c.Position, age.Round(time.Second), a.record.PID))
		}
	}
	return problems
}
