package shmring

// consumer is the algorithm of one reader over plain bytes; Consumer wraps it.
type consumer struct {
	ring
	page       []byte // own cursor page
	slot       int
	generation uint32
	policy     Policy
	timestamps bool
	gating     bool   // holds producers: block, and demote until demoted
	private    uint64 // loadsBefore's word

	pos, seq  uint64 // next part
	gate      uint64 // as published
	told      uint64 // position of the published statistics
	open      part   // a block reader's view that is out: part at pos
	buf       []byte // copies for readers that may be overrun
	stats     ConsumerStats
	missed    uint64 // since the last record delivered
	missedLen uint64
	gaps      uint64
}

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

// poll looks for the next record, stepping over pads and gaps. It returns
// ErrEmpty, ErrEndOfStream or ErrCorrupt, or a data part at c.pos which is
// checked as far as its header goes; a lappable reader must still copy and ask
// lapped.
func (c *consumer) poll() (part, error) {
	for {
		pos := c.pos
		kind := c.kindAt(load64(c.b, c.geometry.at(pos)), pos)
		if kind == 0 {
			if c.lappable() && c.lapped() && c.resync() {
				continue
			}
			return part{}, ErrEmpty
		}
		p, ok := c.parse(kind, pos, load64(c.b, c.geometry.at(pos)+8))
		if kind == kindData && ok {
			return p, nil
		}
		if c.lappable() && c.lapped() {
			if c.resync() {
				continue
			}
			return part{}, ErrEmpty
		}
		if !ok {
			return part{}, corruptAt(pos, "header of a part of kind %d is malformed (%d bytes)", kind, p.frame)
		}
		c.step(p)
		if kind == kindEnd {
			return part{}, ErrEndOfStream
		}
	}
}

// step goes past a part.
func (c *consumer) step(p part) {
	at := p.after(boundary{c.pos, c.seq})
	c.pos, c.seq = at.pos, at.seq
	c.gaps += p.lost
	c.stats.GapRecords += p.lost
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
		c.missed += at.seq - c.seq
		c.missedLen += at.pos - c.pos
		c.stats.MissedRecords += at.seq - c.seq
		c.stats.MissedBytes += at.pos - c.pos
		c.pos, c.seq = at.pos, at.seq
		return true
	}
	return false
}

// view is the data part at pos, with its payload where it lies in the ring.
func (c *consumer) view(p part) Record {
	off := c.geometry.at(c.pos)
	r := Record{Position: c.pos, Sequence: c.seq, Tag: p.tag}
	if c.timestamps {
		r.Timestamp = int64(load64(c.b, off+recordHeaderBytes))
	}
	off += c.bodyOff
	r.Payload = c.b[off : off+p.payload : off+p.payload]
	return r
}

// take makes a Record of the data part at pos: a view for block readers, a
// checked copy for the others. ok is false when the part was overwritten while
// it was copied; the reader then polls again.
func (c *consumer) take(p part) (Record, bool) {
	r := c.view(p)
	if !c.lappable() {
		c.open = p
		c.deliver(&r)
		return r, true
	}
	r.Payload = c.buf[:p.payload]
	copyOut(r.Payload, c.b, c.geometry.at(c.pos)+c.bodyOff)
	if c.lapped() {
		return Record{}, false
	}
	c.step(p)
	c.deliver(&r)
	return r, true
}

// deliver hands the losses before r to it.
func (c *consumer) deliver(r *Record) {
	r.Missed, r.MissedBytes, r.Gaps = c.missed, c.missedLen, c.gaps
	c.missed, c.missedLen, c.gaps = 0, 0, 0
	c.stats.Delivered++
}

// finish gives back the view that is out, if any.
func (c *consumer) finish() {
	if c.open.kind != 0 {
		c.step(c.open)
		c.open = part{}
	}
}

// publish tells gate and statistics. It says whether a producer sleeps on the
// gate and must be woken.
//
// Ordering: the gate is stored with a full fence and space_waiters loaded after
// it; a producer adds to space_waiters (full fence) and then loads the gate
// again before it sleeps: one of the two sees the other.
func (c *consumer) publish() (wake bool) {
	if c.gating && c.gate != c.pos {
		c.gate = c.pos
		store64(c.page, cuGate, c.pos)
		wake = load32(c.b, offSpaceWaiters) != 0
	}
	if c.told != c.pos {
		c.told = c.pos
		storeRel64(c.page, cuPosition, c.pos)
		storeRel64(c.page, cuSequence, c.seq)
		storeRel64(c.page, cuMissed, c.stats.MissedRecords)
		storeRel64(c.page, cuMissedBytes, c.stats.MissedBytes)
		storeRel64(c.page, cuGaps, c.stats.GapRecords)
		storeRel64(c.page, cuDelivered, c.stats.Delivered)
	}
	return wake
}

// due says whether enough was read to publish without having to wait: a
// quarter of a chunk, so that producers see space in time and the line of the
// gate moves rarely.
func (c *consumer) due() bool { return c.pos-c.told >= c.chunk/4 }

func (c *consumer) entry() uint64 { return consumerEntry(c.slot) }

// noticeDemotion stops gating when producers do not respect the gate any more:
// it was demoted, or the slot was taken back.
func (c *consumer) noticeDemotion() {
	if !c.gating || c.holds() {
		return
	}
	c.gating = false
	c.stats.Demoted = load64(c.b, c.entry()+csDemoted) == uint64(c.generation)
}

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
	if load64(c.b, offAnnounce) > c.pos+2*c.capacity {
		return corruptAt(c.pos, "a producer went past a lossless reader's gate")
	}
	return nil
}
