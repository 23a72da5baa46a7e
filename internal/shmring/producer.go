package shmring

// producer is the algorithm of a producer over plain bytes; it knows no files, no
// contexts and no faults. Producer wraps it.
type producer struct {
	ring
	slot       int
	many       bool // others may claim, too (many.go)
	timestamps bool
	fenced     bool // no membarrier here: every commit is a full fence

	tail      uint64 // position of the next claim (many: of the last one until it is committed)
	seq       uint64 // records before tail
	limit     uint64 // no byte at or past it may be written
	announced uint64 // own copy of the announcement
	synced    uint64 // chunk number of the newest sync entry plus one

	hinted uint64 // position of the own hint

	pad       uint64 // of the open claim
	frame     uint64 // of the open claim, 0 = none
	payload   uint64
	records   uint64 // that it counts for: 1, or 0 for an end record
	prevOwner uint64 // many: who claimed before it
	need      uint64 // bytes that the last raise was for

	held      holds
	heldNanos uint64
	sleep     [ConsumersMax]uint32 // sleep words that were already woken
}

// resume finds the end of what earlier producers committed and goes on behind
// it; many producers find it with each claim. What a dead single producer reserved and did not commit was never visible: the
// bytes behind the newest commit word are free, because parts are committed
// front to back, each sync entry is written after everything before it was
// committed, and no stale word there can hold its own position.
func (p *producer) resume() error {
	if p.many {
		word := load64(p.b, offTail)
		p.tail, _ = p.tailPosition(word) // claims check it
		return nil
	}
	at, err := p.newest()
	if err != nil {
		return err
	}
	p.announced = load64(p.b, offAnnounce)
	if p.announced < at.pos || p.announced > at.pos+p.capacity {
		return corruptAt(at.pos, "announced position %d does not fit the newest record", p.announced)
	}
	p.tail, p.seq, p.limit = at.pos, at.seq, at.pos
	// The entry of the chunk at the tail stands if a part starts in it already.
	p.synced = at.pos / p.chunk
	if entry, ok := p.syncAt(p.synced); ok && entry.pos <= at.pos {
		p.synced++
	}
	return nil
}

// span is what a record of n payload bytes takes at the tail: its frame, and the
// pad before it when it does not fit before the ring's end.
func (p *producer) span(n uint64) (frame, pad uint64) {
	frame = p.frameBytes(n)
	if room := p.capacity - p.tail&p.mask; frame > room {
		pad = room // at least recordAlign: a pad's header always fits
	}
	return frame, pad
}

// claim opens a claim of n payload bytes, at most recordMax, for one record, or
// for none (an end record). It returns who forbids it now, a reader's slot or
// holderOf a producer, or slotNone.
func (p *producer) claim(n, records uint64) (holder int, err error) {
	if p.many {
		return p.claimMany(n, records)
	}
	frame, pad := p.span(n)
	if p.tail+pad+frame > p.limit {
		p.need = pad + frame
		if holder := p.raise(p.need); holder != slotNone {
			return holder, nil
		}
	}
	p.pad, p.frame, p.payload, p.records = pad, frame, n, records
	return slotNone, nil
}

// body is the offset in the data file of the open claim's payload.
func (p *producer) body() uint64 { return p.at(p.tail+p.pad) + p.bodyOff }

// commit publishes the open claim as a record of the given kind, front to back:
// the pad first, then the record.
//
// Ordering: every store of a part (header, timestamp, payload, checksum, and the
// sync entry) comes before the release store of its commit word; a reader that
// sees the word by an acquire load sees them all.
func (p *producer) commit(kind uint64, tag uint16, timestamp int64) {
	prev := uint64(0)
	if p.many {
		prev = p.prevOwner << prevOwnerShift
	}
	if p.pad > 0 {
		p.part(kindPad, p.pad, p.pad|prev<<32)
		p.tail += p.pad
		if p.many {
			prev = ownerNone << prevOwnerShift
		}
	}
	off := p.at(p.tail)
	var header uint64
	switch kind {
	case kindData:
		header = p.payload | (uint64(tag)|prev)<<32
		if p.timestamps {
			put64(p.b, off+recordHeaderBytes, uint64(timestamp))
		}
		if p.tailBytes > 0 {
			p.putChecksum(off, header)
		}
	case kindGap:
		header = p.frame | (p.records|prev)<<32
	default:
		header = p.frame | prev<<32
	}
	p.part(kind, p.frame, header)
	if p.many {
		storeRel64(p.b, producerEntry(p.slot)+psIntent, intentNone)
	}
	if kind == kindData && p.tail >= p.hinted+p.hintBytes {
		p.hinted = p.tail
		p.putPair(producerEntry(p.slot)+psHint, boundary{p.tail, p.seq})
	}
	p.tail += p.frame
	p.seq += p.records
	p.frame = 0
}

// drop gives the open claim up, if there is one. A claim among many producers
// is visible to them and becomes a gap; that of a single one never was.
// It is counted first: of a death between the two stores the ring's statistics
// know one gap too many (the repair counts it again), never one too few; what
// readers count is exact.
func (p *producer) drop() (gap bool) {
	if gap = p.many && p.frame > 0; gap {
		p.count(psGapRecords, p.records)
		p.commit(kindGap, 0, 0)
	}
	p.frame = 0
	return gap
}

// part writes a part's header (len | aux<<32) at the tail and commits it.
func (p *producer) part(kind, frame, header uint64) {
	if c := p.tail / p.chunk; !p.many && c+1 > p.synced {
		// First part that starts in this chunk. All before it is committed, and
		// this store comes before its own commit.
		p.putPair(p.syncEntry(p.tail), boundary{p.tail, p.seq})
		p.synced = c + 1
	}
	off := p.at(p.tail)
	put64(p.b, off+8, header)
	p.store(off, p.commitWord(p.tail, kind))
}

// store stores a commit word.
func (p *producer) store(off, word uint64) {
	if p.fenced || load64(p.b, offFenceMask) != 0 {
		store64(p.b, off, word) // a sleeper without membarrier relies on it
	} else {
		storeRel64(p.b, off, word)
	}
}

// count adds to one of the producer's statistics; only this producer writes them.
func (p *producer) count(field uint64, n uint64) {
	off := producerEntry(p.slot) + field
	storeRel64(p.b, off, load64(p.b, off)+n)
}
