package shmring

import "math/bits"

// plausible says whether what producers wrote in the places that others start from
// fits together: a ring in which it does not would hold readers and producers up
// without anybody's getting to know why. What an honest producer is just replacing
// is left out. Error: ErrCorrupt.
func (r *Ring) plausible() error {
	if err := r.plausibleSync(); err != nil {
		return err
	}
	if !r.config.Many || r.config.Mirror {
		return nil
	}
	if err := r.plausibleTail(); err != nil {
		return err
	}
	for mask := r.ownMask(offLentMask); mask != 0; mask &= mask - 1 {
		slot := bits.TrailingZeros64(mask)
		c, ok := r.intentOf(slot)
		if ok && !(r.wellFormed(c) && c.word&tailPositionMask == c.pos/recordAlign&tailPositionMask) {
			return corruptAt(c.pos, "the claim of producer slot %d is malformed (%d bytes, %d records)", slot, c.bytes, c.records)
		}
	}
	return nil
}

// plausibleSync looks at the sync table. Each entry that is there is a true
// boundary, so of two the later one has no fewer records before it.
func (r *Ring) plausibleSync() error {
	var low, high boundary // of the entries so far
	found := false
	for entry := range r.chunks {
		off := syncOff + entry*syncEntryBytes
		at, ok := r.pair(off)
		if !ok {
			pos := load64(r.b, off)
			seq := load64(r.b, off+8)
			if pos != syncNone && load64(r.b, off) == pos && !(boundary{pos, seq}).sane() {
				return corruptAt(pos, "sync entry %d is no boundary (record %d)", entry, seq)
			}
			continue
		}
		if at != (boundary{}) && at.pos/r.chunk%r.chunks != entry {
			return corruptAt(at.pos, "sync entry %d is of another chunk", entry)
		}
		switch {
		case !found:
			low, high, found = at, at, true
		case at.pos >= high.pos && at.seq >= high.seq:
			high = at
		case at.pos <= low.pos && at.seq <= low.seq:
			low = at
		case at.pos > low.pos && at.pos < high.pos && at.seq >= low.seq && at.seq <= high.seq:
		default:
			return corruptAt(at.pos, "sync entry %d says that there are %d records before it, and others do not fit", entry, at.seq)
		}
	}
	return nil
}

// plausibleTail looks at the tail word, which must be the same before and after.
func (r *Ring) plausibleTail() error {
	for range lookTriesMax {
		word := load64(r.b, offTail)
		pos, ok := r.tailPosition(word)
		base := load64(r.b, offSeqBase)
		seq := base + (tailCount(word)-base)&tailCountMask
		if ok && seq <= pos/recordAlign {
			return nil
		}
		if load64(r.b, offTail) == word {
			return corruptAt(pos, "the tail word does not fit the announced position")
		}
	}
	return nil
}
