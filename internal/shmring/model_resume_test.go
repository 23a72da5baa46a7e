//go:build ringmodel

package shmring

import (
	"fmt"
	"testing"
)

// handedNone: no reader had a position yet.
const handedNone = ^uint64(0)

// handed counts the records that all generations of a reader were given, or missed:
// now, and before the last of them.
type handed struct{ now, before uint64 }

func (h *handed) give(n uint64) {
	if n != h.now {
		h.before, h.now = h.now, n
	}
}

// fits says whether a successor may go on at a record: the next, or, if the killed
// reader had not come back, the last or what it missed before that.
func (h *handed) fits(at uint64) bool {
	return h.now == handedNone || at == h.now || at+1 == h.now || at == h.before
}

// readingOn reads like a named reader of a ring that keeps cursors, as the given
// generation of slot 0, and notes what it was given.
func (r *modelRing) readingOn(generation uint32, policy Policy, from Start, total uint64, given *handed) func(*thread) {
	return func(t *thread) {
		c := newConsumer(r.b, r.cursors[0], r.config, ConsumerOptions{Generation: generation, Policy: policy, KeepCursor: true})
		c.geometry = r.geometry
		if err := c.begin(from); err != nil {
			r.fail("%s: %v", t.name, err)
			return
		}
		if !given.fits(c.seq - c.missed) {
			r.fail("%s: goes on at record %d (%d missed), %d were handed out", t.name, c.seq, c.missed, given.now)
		}
		given.give(c.seq)
		last := uint64(0)
		for c.Sequence() < total {
			t.at(30, c.pos, c.seq, c.gate, c.told, c.open.kind, c.open.frame, c.missed, last, c.saved, c.saves, given.now, given.before, b2u(c.gating))
			var rec Record
			err := c.receive(&rec)
			if err == ErrEmpty {
				given.give(c.seq) // it may have missed some
				c.finish()
				c.tell()
				t.block()
				continue
			}
			if err != nil {
				r.fail("%s: %v", t.name, err)
				return
			}
			if !r.checkRecord(t, c, rec, &last) {
				return
			}
			if policy == PolicyBlock && (rec.Missed != 0 || rec.Sequence != given.now) {
				r.fail("%s: record %d after %d missed, %d were handed out", t.name, rec.Sequence, rec.Missed, given.now)
				return
			}
			given.give(rec.Sequence + 1)
		}
		t.at(31)
		c.finish()
		c.tell()
		store64(c.page, cuGate, gateNone) // so that the producer gets to its end
	}
}

// leftAtStart makes slot 0 that of a reader which has died before its first record.
func (r *modelRing) leftAtStart() {
	c := newConsumer(r.b, r.cursors[0], r.config, ConsumerOptions{Policy: PolicyBlock, KeepCursor: true})
	c.startAt(boundary{})
}

// A reader dies at any step and its successor resumes: a gating one was waited
// for, and nothing is lost or given twice but the record it died with.
func TestModelResume(t *testing.T) {
	const before, total = 4, 5
	scenario(t, "dead reader is resumed, its producer waits", func() *machine {
		r := newModelRing(1)
		r.bind(0, 1, PolicyBlock)
		r.slotsChange()
		p0 := r.prefilled(before)
		given := handed{now: 1} // the reader died with record 0
		r.leftAtStart()
		r.spawn("P", false, nil, r.sending(p0, 1, total, heldBlocks))
		d := r.spawn("D", false, nil, func(*thread) {
			r.daemon().lendSlot(0, r.cursors[0], Binding{Generation: 2, Policy: PolicyBlock})
		})
		r.spawn("S", false, func() bool { return d.state == threadDone }, r.readingOn(2, PolicyBlock, FromResume(), total, &given))
		return r.machine
	})
	for _, s := range []struct {
		policy        Policy
		from          Start
		before, total uint64
	}{{PolicyBlock, FromOldest(), 0, 3}, {PolicyBlock, FromResume(), 4, 5}, {PolicySkip, FromOldest(), 4, 5}} {
		scenario(t, fmt.Sprintf("reader dies and is resumed, %s, %d records, then %d", s.policy, s.before, s.total-s.before), func() *machine {
			r := newModelRing(1)
			r.killsLeft = 1
			r.bind(0, 1, s.policy)
			r.slotsChange()
			p0 := r.prefilled(s.before)
			if s.from.Resumes() {
				r.leftAtStart()
			}
			given := handed{now: handedNone}
			r.spawn("P", false, nil, r.sending(p0, 1, s.total, heldBlocks))
			r1 := r.spawn("R", true, nil, r.readingOn(1, s.policy, s.from, s.total, &given))
			r1.remains = func() uint64 { return mix(0, given.now, given.before) }
			d := r.spawn("D", false, func() bool { return r1.state == threadDead }, func(*thread) {
				r.daemon().lendSlot(0, r.cursors[0], Binding{Generation: 2, Policy: s.policy})
			})
			r.spawn("S", false, func() bool { return d.state == threadDone }, r.readingOn(2, s.policy, FromResume(), s.total, &given))
			return r.machine
		})
	}
}
