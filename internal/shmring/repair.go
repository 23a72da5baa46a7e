package shmring

import "runtime/debug"

// Repair is called once the process of a producer slot has exited, or has said
// that it is done with it, and before the slot is lent again; it may be called
// any number of times. What the process had claimed among many producers and not
// committed becomes a gap, which readers step over and count. The claim of a
// single producer was never visible, and its successor goes on behind the newest
// record: what is left to do is to look whether the ring is sound. It returns
// the number of records in the gap. Errors: ErrCorrupt, ErrFault.
func (r *Ring) Repair(slot int) (gapRecords int, err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	if !r.config.Many {
		_, err = r.end()
		return 0, err
	}
	lost, err := r.repair(slot)
	return int(lost), err
}

// Published says whether what was claimed at a position was committed, as a record or
// an end; false also for a gap. Overwritten since, it was: an open claim holds
// producers, and nobody asks for one that became a gap a lap ago (Journal.Settle). It
// must be asked before another producer may claim the same position. Error: ErrFault.
func (r *Ring) Published(position uint64) (done bool, err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	return r.published(position), nil
}

func (r *ring) published(position uint64) bool {
	if position%recordAlign != 0 || position >= positionMax {
		return false
	}
	p, ok := r.next(position)
	if ok && p.kind == kindPad {
		p, ok = r.next(position + p.frame)
	}
	loadsBefore(new(uint64))
	if load64(r.b, offAnnounce) > position+r.capacity {
		return true
	}
	return ok && (p.kind == kindData || p.kind == kindEnd)
}

// repair ends the claim of a dead producer, if it won one. Each step may be done
// again: a repairer that dies in between is followed by another.
//
// Nothing can have been written over an open claim: it holds the others
// (boundClaims). One that is complete, whose owner died before it could clear the
// intent, may be lapped at this very moment, and then looks open. Who overwrites
// it has announced that before, so the announcement is loaded after the walk:
// more than a lap beyond the claim, it says to leave it alone.
func (r *Ring) repair(slot int) (lost uint64, err error) {
	entry := producerEntry(slot)
	c, ok := r.intentOf(slot)
	if !ok {
		return 0, nil
	}
	if !r.wellFormed(c) {
		return 0, corruptAt(c.pos, "the claim of producer slot %d is malformed (%d bytes, %d records)", slot, c.bytes, c.records)
	}
	if r.won(c) {
		pos, left, ok := r.firstOpen(c)
		loadsBefore(new(uint64))
		switch lapped := load64(r.b, offAnnounce) > c.pos+r.capacity; {
		case lapped:
		case !ok:
			return 0, corruptAt(pos, "the claim of producer slot %d holds a malformed part", slot)
		case pos < c.end():
			r.fillGap(c, pos, left)
			lost = left
		}
	}
	store64(r.b, entry+psIntent, intentNone)
	return lost, nil
}

// fillGap commits what is open of a claim, from pos on: a gap that counts the
// records left, and behind the ring's end a pad.
// It is counted first, as by producer.drop: of a repairer that dies before the claim
// is complete the ring's statistics know one gap too many, never one too few.
func (r *Ring) fillGap(c intent, pos, left uint64) {
	r.markCrossings(c.pos, boundary{c.end(), c.seq + c.records})
	entry := producerEntry(c.slot)
	store64(r.b, entry+psGapRecords, load64(r.b, entry+psGapRecords)+left)
	prev := tailOwner(c.word)
	if pos != c.pos {
		prev = ownerNone
	}
	kind := uint64(kindGap)
	for pos < c.end() {
		frame := min(c.end()-pos, r.capacity-pos&r.mask)
		off := r.at(pos)
		store64(r.b, off+8, frame|(left|prev<<prevOwnerShift)<<32)
		store64(r.b, off, r.commitWord(pos, kind))
		pos, kind, left, prev = pos+frame, kindPad, 0, ownerNone
	}
	r.wakeAll()
}
