package shmring

// lappable readers may find their record overwritten at any instant: everything
// but block. A demote reader is one even while it gates, since producers may
// demote it between two of its instructions.
func (c *consumer) lappable() bool { return c.policy != PolicyBlock }

// lapped says whether the bytes at pos may have been overwritten.
//
// Ordering, without a gate: a producer announces (store, full fence) before it
// writes any byte beyond the former announcement. A reader loads the payload
// and then, in this order, the announcement. If any loaded byte was from a
// later lap, its writer had announced before, so the load here sees an
// announcement beyond pos+capacity. On amd64 loads stay in order; elsewhere
// loadsBefore does it.
//
// With a gate the announcement says nothing: one that raced with the attach may
// run ahead of what was then granted. But producers respect the gate until they
// have stored the demotion (full fence), which the same order shows here.
func (c *consumer) lapped() bool {
	loadsBefore(&c.private)
	if c.gating {
		return !c.holds()
	}
	return load64(c.b, offAnnounce) > c.pos+c.capacity
}

// holds says whether producers still respect this reader's gate.
func (c *consumer) holds() bool {
	return load64(c.b, c.entry()+csDemoted) != uint64(c.generation) &&
		load32(c.b, c.entry()+csGeneration) == c.generation &&
		load32(c.b, c.entry()+csPolicy) == uint32(c.policy)
}

// resync takes an overrun reader to the second chunk that is surely intact (the
// first may be overwritten while we look) and counts exactly what it missed.
// false: no boundary is known at this moment, ask again.
func (c *consumer) resync() bool {
	c.noticeDemotion()
	announce := load64(c.b, offAnnounce)
	if announce <= c.pos+c.capacity {
		return true // demoted, but not overrun yet
	}
	for n := c.oldest(announce)/c.chunk + 2; n <= announce/c.chunk; n++ {
		at, ok := c.syncAt(n)
		if !ok || at.pos <= c.pos || at.seq < c.seq {
			continue
		}
		if load64(c.b, offAnnounce) > at.pos+c.capacity {
			continue
		}
		c.miss(at, at.seq-c.seq)
		return true
	}
	// In a mirror the only one may be the target of a jump, not announced yet.
	if at, ok := c.newestSync(announce+1, c.reach(announce)); ok && at.pos > c.pos && at.seq >= c.seq {
		c.miss(at, at.seq-c.seq)
		return true
	}
	return false
}

// noticeDemotion stops gating when producers do not respect the gate any more:
// it was demoted, or the slot was taken back.
func (c *consumer) noticeDemotion() {
	if !c.gating || c.holds() {
		return
	}
	c.gating = false
	c.stats.Demoted = load64(c.b, c.entry()+csDemoted) == uint64(c.generation)
}
