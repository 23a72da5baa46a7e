package shmring

func (c *consumer) entry() uint64 { return consumerEntry(c.slot) }

// publish tells gate and statistics. It says whether a producer sleeps on the
// gate and must be woken.
//
// Ordering: the gate is stored with a full fence and space_waiters loaded after
// it; a producer adds to space_waiters (full fence) and then loads the gate
// again before it sleeps: one of the two sees the other.
func (c *consumer) publish() (wake bool) {
	done := c.done()
	gate := done.pos
	if c.keep {
		gate = c.saved // what a successor needs is held for it
	}
	if c.gating && c.gate != gate {
		c.gate = gate
		store64(c.page, cuGate, gate)
		wake = load32(c.b, offSpaceWaiters) != 0
	}
	if c.told != done.pos {
		c.told = done.pos
		stats := &c.stats
		if c.spans {
			stats = &c.settled
		}
		storeRel64(c.page, cuPosition, done.pos)
		storeRel64(c.page, cuSequence, done.seq)
		storeRel64(c.page, cuMissed, stats.MissedRecords)
		storeRel64(c.page, cuMissedBytes, stats.MissedBytes)
		storeRel64(c.page, cuGaps, stats.GapRecords)
		storeRel64(c.page, cuDelivered, stats.Delivered)
		storeRel64(c.page, cuChecksum, stats.ChecksumErrors)
	}
	return wake
}

// done is the boundary before which this reader needs nothing any more: what gate,
// statistics and cursor tell.
func (c *consumer) done() boundary {
	if c.spans {
		return c.released
	}
	return boundary{c.pos, c.seq}
}

// tell publishes gate and statistics and wakes a producer that waits for them.
func (c *consumer) tell() {
	if c.publish() {
		futexWake(c.page, cuGate)
	}
}

// saveCursor stores where a successor is to go on: behind the last record that
// the caller is done with. The entry that the count does not name is written
// first, so a reader killed in between leaves the former cursor.
func (c *consumer) saveCursor() {
	c.saves++
	done := c.done()
	entry := cuCursorEntries + c.saves&1*16
	storeRel64(c.page, entry, done.pos)
	storeRel64(c.page, entry+8, done.seq)
	storeRel64(c.page, cuCursor, c.saves)
	c.saved = done.pos
}

// savedCursor is what a former reader of the slot left. ok is false when it ended
// before it had a position, or left what no reader writes.
func (c *consumer) savedCursor() (at boundary, ok bool) {
	c.saves = load64(c.page, cuCursor)
	entry := cuCursorEntries + c.saves&1*16
	at = boundary{load64(c.page, entry), load64(c.page, entry+8)}
	return at, c.saves != 0 && at.pos%recordAlign == 0 && at.pos <= c.reach(load64(c.b, offAnnounce)) && at.seq <= at.pos/recordAlign
}

// due says whether enough was read to publish without having to wait: a
// quarter of a chunk, so that producers see space in time and the line of the
// gate moves rarely.
func (c *consumer) due() bool { return c.pos-c.told >= c.chunk/4 }

// lent says why this reader may not read, if so: the ring or its slot is gone.
func (c *consumer) lent() error {
	switch s := State(load32(c.b, offState)); s {
	case StateLive:
	case StateRemoved:
		return ErrRemoved
	case StateCorrupt:
		return corruptAt(c.pos, "the daemon has retired the ring")
	default:
		return corruptAt(c.pos, "unknown ring state %d", uint32(s))
	}
	if load32(c.b, c.entry()+csGeneration) != c.generation || load32(c.b, c.entry()+csPolicy) != uint32(c.policy) {
		return ErrDetached
	}
	return nil
}

// alive says why this reader must stop, if it must. It is asked whenever a
// reader waits, and each time it publishes.
func (c *consumer) alive() error {
	if err := c.lent(); err != nil {
		return err
	}
	c.noticeDemotion()
	if c.policy != PolicyBlock {
		return nil
	}
	if !c.gating { // only a faulting cursor page gets a block reader evicted
		return ErrDetached
	}
	// A mirror may jump that far ahead of a reader that it still respects.
	if !c.mirror && load64(c.b, offAnnounce) > c.pos+2*c.capacity {
		return corruptAt(c.pos, "a producer went past a lossless reader's gate")
	}
	return nil
}
