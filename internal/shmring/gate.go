package shmring

// How far a producer may write. The limit it holds privately is raised once a
// chunk, so the cost of looking at every reader's gate is paid once a chunk.
//
// Announce, scan, grant. A reader attaches by storing its gate P and then
// loading the announcement A; it may start when A <= P+capacity. A producer
// stores its announcement and then loads the gates. All four are sequentially
// consistent, so at least one side sees the other: either the reader sees the
// new announcement (and picks a newer P), or the producer's second scan sees
// the gate (and grants less than it announced). Scanning first and announcing
// afterwards would let a reader attach in between and be overtaken; the first
// scan here only keeps the announcement from running needlessly ahead.
//
// Readers without a gate use the announcement the other way round: whatever
// lies below announcement-capacity may have been overwritten (receive.go).

// slotNone: no consumer slot binds the limit.
const slotNone = -1

// bound gives the highest position up to lim that no gating reader forbids, and
// the slot that forbids more. tail is the producer's own position.
func (p *producer) bound(tail, lim uint64) (uint64, int) {
	binding := slotNone
	mask := load64(p.b, offConsumerMask)
	for slot := 0; slot < len(p.cursors); slot++ {
		if mask&(1<<slot) == 0 {
			continue
		}
		gate, ok := p.gateOf(slot, tail)
		if !ok {
			continue
		}
		if tail-gate < p.capacity/2 {
			p.held.caughtUp(slot)
		}
		if gate+p.capacity < lim {
			lim, binding = gate+p.capacity, slot
		}
	}
	return lim, binding
}

// gateOf loads a slot's gate. ok is false for a slot that does not hold the
// producer: free, skip, demoted, evicted here, not gating, or forged (a gate
// beyond the tail; nothing unchecked is ever added to it).
func (p *producer) gateOf(slot int, tail uint64) (uint64, bool) {
	entry := consumerEntry(slot)
	policy := Policy(load32(p.b, entry+csPolicy))
	if policy != PolicyBlock && policy != PolicyDemote {
		return 0, false
	}
	generation := load32(p.b, entry+csGeneration)
	p.held.seen[slot] = generation // before the page is touched, see evict
	if p.wasEvicted(slot) || load64(p.b, entry+csDemoted) == uint64(generation) {
		return 0, false
	}
	gate := load64(p.cursors[slot], cuGate) &^ (recordAlign - 1)
	if gate > tail {
		return 0, false
	}
	return gate, true
}

// wasEvicted says whether the page of the reader in slot has faulted here: it is
// not touched again before the slot is lent anew.
func (p *producer) wasEvicted(slot int) bool {
	g := p.held.evicted[slot]
	return g != 0 && g == load32(p.b, consumerEntry(slot)+csGeneration)
}

// raise tries to move the limit so that need bytes behind the tail may be
// written. It returns the slot that forbids it, or slotNone on success.
func (p *producer) raise(need uint64) int {
	lim, slot := p.bound(p.tail, p.tail+max(need, p.chunk))
	if lim < p.tail+need {
		return slot
	}
	if lim > p.announced {
		p.announced = lim
		store64(p.b, offAnnounce, lim)
	}
	lim, slot = p.bound(p.tail, lim)
	if lim < p.tail+need {
		return slot
	}
	p.limit = lim
	return slotNone
}

// heldBy says whether the holder, a reader's slot or holderOf a producer, still is
// in the way of the claim that was refused last.
func (p *producer) heldBy(slot int) bool {
	if slot >= ConsumersMax {
		return p.heldByClaim(slot - ConsumersMax)
	}
	gate, ok := p.gateOf(slot, p.tail)
	return ok && gate+p.capacity < p.tail+p.need
}

// demote takes the gate from the reader of a generation, which has held the producer
// for longer than its deadline. The caller read the generation before all that made
// it decide so. A producer that was stopped since may find the slot lent again: what
// it stores then names a generation that is over. Generations only grow, and so
// does the word while the slot is lent, so no demotion is undone either.
func (p *producer) demote(slot int, generation uint32) {
	off := consumerEntry(slot) + csDemoted
	old := load64(p.b, off)
	if old < uint64(generation) && cas64(p.b, off, old, uint64(generation)) {
		p.count(psDemotions, 1)
	}
}
