package shmring

// producer is the algorithm of the one producer of a ring over plain bytes; it
// knows no files, no contexts and no faults. Producer wraps it.
type producer struct {
	ring
	slot       int
	timestamps bool
	fenced     bool // no membarrier here: every commit is a full fence

	tail      uint64 // position of the next claim
	seq       uint64 // records before tail
	limit     uint64 // no byte at or past it may be written
	announced uint64 // own copy of the announcement
	synced    uint64 // chunk number of the newest sync entry plus one

	pad     uint64 // of the open claim
	frame   uint64 // of the open claim, 0 = none
	payload uint64
	need    uint64 // bytes that the last raise was for

	held      holds
	heldNanos uint64
	sleep     [ConsumersMax]uint32 // sleep words that were already woken
}

// resume finds the end of what earlier producers committed and goes on behind
// it. What a dead producer reserved and did not commit was never visible: the
// bytes behind the newest commit word are free, because parts are committed
// front to back, each sync entry is written after everything before it was
// committed, and no stale word there can hold its own position.
func (p *producer) resume() error {
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

// claim opens a claim of n payload bytes at the tail. It returns the slot of
// the reader that forbids it now, or slotNone. n is at most recordMax.
func (p *producer) claim(n uint64) int {
	frame, pad := p.frameBytes(n), uint64(0)
	if room := p.capacity - p.tail&p.mask; frame > room {
		pad = room // at least recordAlign: a pad's header always fits
	}
	if p.tail+pad+frame > p.limit {
		p.need = pad + frame
		if slot := p.raise(p.need); slot != slotNone {
			return slot
		}
	}
	p.pad, p.frame, p.payload = pad, frame, n
	return slotNone
}

// body is the offset in the data file of the open claim's payload.
func (p *producer) body() uint64 { return p.at(p.tail+p.pad) + p.bodyOff }

// commit publishes the open claim as a record of the given kind, front to back:
// the pad first, then the record.
//
// Ordering: every store of a part (header, timestamp, payload, and the sync
// entry) comes before the release store of its commit word; a reader that sees
// the word by an acquire load sees them all.
func (p *producer) commit(kind uint64, tag uint16, timestamp int64) {
	if p.pad > 0 {
		p.part(kindPad, p.pad, p.pad, 0)
		p.tail += p.pad
	}
	length := p.payload
	if kind != kindData {
		length = p.frame
	}
	if p.timestamps {
		put64(p.b, p.at(p.tail)+recordHeaderBytes, uint64(timestamp))
	}
	p.part(kind, p.frame, length, tag)
	before := p.tail
	p.tail += p.frame
	if kind == kindData {
		p.seq++
	}
	p.frame = 0
	if (before^p.tail)&^(p.hintBytes-1) != 0 {
		p.putPair(offHint, boundary{p.tail, p.seq})
	}
}

// part writes a part's header at the tail and commits it.
func (p *producer) part(kind, frame, length uint64, tag uint16) {
	if c := p.tail / p.chunk; c+1 > p.synced {
		// First part that starts in this chunk. All before it is committed, and
		// this store comes before its own commit.
		p.putPair(p.syncEntry(p.tail), boundary{p.tail, p.seq})
		p.synced = c + 1
	}
	off := p.at(p.tail)
	put64(p.b, off+8, length|uint64(tag)<<32)
	word := p.commitWord(p.tail, kind)
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
