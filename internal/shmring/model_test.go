//go:build ringmodel

package shmring

import (
	"fmt"
	"testing"
)

// One producer and one reader that attaches at any moment, each policy and each
// start. buffered adds store buffers, which multiply the states.
func TestModelOneReader(t *testing.T) {
	for _, s := range []struct {
		policy          Policy
		from            Start
		plain, buffered uint64 // records
	}{
		{PolicyBlock, FromOldest(), 5, 3},
		{PolicyDemote, FromOldest(), 5, 3},
		{PolicySkip, FromOldest(), 7, 4},
		{PolicyBlock, FromLatest(), 3, 2},
		{PolicySkip, FromLatest(), 4, 2},
		{PolicyBlock, FromPosition(0), 5, 0}, // it attaches as from oldest
		{PolicyLatest, FromOldest(), 5, 3},
	} {
		for _, buffered := range []bool{false, true} {
			total := s.plain
			if buffered {
				total = s.buffered
			}
			if total == 0 {
				continue
			}
			scenario(t, fmt.Sprintf("%s from %s, %d records, buffered=%v", s.policy, s.from, total, buffered), func() *machine {
				r := newModelRing(1)
				r.buffered = buffered
				r.bind(0, 1, s.policy)
				held := heldBlocks
				if s.policy == PolicyDemote {
					held = heldDemotes
				}
				p := r.spawn("P", false, nil, r.producing(1, total, held))
				starts := func() bool { return s.from.kind != startPosition || !p.began }
				r.spawn("R", false, starts, r.reading(0, 1, s.policy, s.from, total, finishedOrDead(p), idleBlocks))
				return r.machine
			})
		}
	}
}

// A reader attaches while the producer is about to overwrite the oldest record,
// with store buffers: announcement and gate must see each other.
func TestModelAttachRace(t *testing.T) {
	for _, s := range []struct {
		name     string
		policy   Policy
		held     func(t *thread, p *Producer, slot int)
		buffered bool
	}{
		{"block", PolicyBlock, heldBlocks, true},
		{"demote", PolicyDemote, heldBlocks, false},
		{"demote at once", PolicyDemote, heldDemotes, false},
	} {
		const before, total = 4, 5
		scenario(t, "attach race, "+s.name, func() *machine {
			r := newModelRing(1)
			p0 := r.prefilled(before)
			r.buffered = s.buffered
			r.bind(0, 1, s.policy)
			p := r.spawn("P", false, nil, r.sending(p0, 1, total, s.held))
			r.spawn("R", false, nil, r.reading(0, 1, s.policy, FromOldest(), 1, finishedOrDead(p), idleBlocks))
			return r.machine
		})
	}
}

// A producer dies at any step; its successor goes on behind it, and every
// reader sees each committed record once.
func TestModelProducerDies(t *testing.T) {
	for _, policy := range []Policy{PolicyBlock, PolicySkip} {
		const total = 3
		scenario(t, fmt.Sprintf("producer dies, %s reader", policy), func() *machine {
			r := newModelRing(1)
			r.killsLeft = 1
			r.bind(0, 1, policy)
			p1 := r.spawn("P", true, nil, r.producing(1, total, heldBlocks))
			p1.remains = func() uint64 { return r.sent }
			p2 := r.spawn("Q", false, func() bool { return p1.state == threadDead }, r.producing(2, total, heldBlocks))
			r.spawn("R", false, nil, r.reading(0, 1, policy, FromOldest(), total, func() bool {
				return p1.state == threadDone || p2.state == threadDone
			}, idleBlocks))
			return r.machine
		})
	}
}

// Both sides sleep whenever they can: no wake-up is lost, with store buffers.
func TestModelSleep(t *testing.T) {
	for _, s := range []struct{ before, total, read uint64 }{{0, 1, 1}, {4, 5, 1}, {4, 5, 2}, {0, 2, 2}} {
		total := s.total
		scenario(t, fmt.Sprintf("sleepers, %d records, then %d, %d read", s.before, total-s.before, s.read), func() *machine {
			r := newModelRing(1)
			p := r.prefilled(s.before)       // four records: no room for the next
			r.buffered, r.stays = true, true // so that no parting wake-up hides a lost one
			r.bind(0, 1, PolicyBlock)
			r.parks()
			r.spawn("P", false, nil, r.sending(p, 1, total, heldSleeps))
			r.spawn("R", false, nil, r.reading(0, 1, PolicyBlock, FromOldest(), s.read, never, idleSleeps))
			return r.machine
		})
	}
}
