package shmring

import (
	"errors"
	"math/bits"
)

// The path of a producer that shares its ring with others: claim, fill, commit.
// What one producer keeps privately (tail, sequence, limit) is shared here.

// claimTriesMax is how often a producer tries before its caller looks whether it is
// to stop. One of those that try at the same time always wins; only a producer that
// writes the tail word at random keeps the others from it.
const claimTriesMax = 1000

// errContended: others have changed the tail word at each of so many tries.
var errContended = errors.New("others claim all the time")

// claimMany claims n payload bytes at the tail, as a number of records. It
// returns who forbids it now: a reader's slot, holderOf a producer, or slotNone.
// errContended: nobody does.
func (p *producer) claimMany(n, records uint64) (holder int, err error) {
	for range claimTriesMax {
		switch p.tryClaim(n, records) {
		case claimWon:
			return slotNone, nil
		case claimBad:
			return slotNone, corruptAt(p.tail, "the tail word does not fit the announced position")
		case claimShort:
			if holder := p.raiseMany(p.need); holder != slotNone {
				return holder, nil
			}
		case claimLost: // try again
		}
	}
	return slotNone, errContended
}

// attempt is what came of one try to claim.
type attempt uint8

const (
	claimWon   attempt = iota
	claimLost          // another producer was faster
	claimShort         // the granted limit is too low
	claimBad           // the tail word is garbage
)

// tryClaim is one try to claim.
//
// Ordering: the intent's stores are releases and come before the tail's
// compare-and-swap, so whoever loads a tail past this claim sees the intent. The
// payload's stores depend on the swap. A tail word never comes round: that would
// take 2^42 bytes, to the byte, with the same owner and count.
func (p *producer) tryClaim(n, records uint64) attempt {
	word := load64(p.b, offTail)
	pos, ok := p.tailPosition(word)
	base := load64(p.b, offSeqBase)
	seq := base + (tailCount(word)-base)&tailCountMask
	if !ok || seq > pos/recordAlign {
		if load64(p.b, offTail) != word {
			return claimLost // what was read belongs to different moments
		}
		return claimBad
	}
	p.tail, p.seq = pos, seq
	frame, pad := p.span(n)
	entry := producerEntry(p.slot)
	if p.need = pad + frame; pos+p.need > p.limit {
		if p.limit = load64(p.b, offUsable); pos+p.need > p.limit {
			storeRel64(p.b, entry+psIntent, intentNone)
			return claimShort
		}
	}
	storeRel64(p.b, entry+psIntent, intentNone)
	storeRel64(p.b, entry+psClaimLen, p.need|records<<32)
	storeRel64(p.b, entry+psClaimPos, pos)
	storeRel64(p.b, entry+psClaimSeq, seq)
	storeRel64(p.b, entry+psIntent, word)
	end := boundary{pos + p.need, seq + records}
	if !cas64(p.b, offTail, word, tailWord(end.pos, p.slot, end.seq&tailCountMask)) {
		return claimLost
	}
	p.pad, p.frame, p.payload, p.records = pad, frame, n, records
	p.prevOwner = tailOwner(word)
	p.markCrossings(pos, end)
	return claimWon
}

// markCrossings writes what a claim owes that goes past a boundary: the sync
// entry of the chunk it ends in, and the base that sequence numbers are
// completed with. Both come before the claim's first commit, so a lap cannot
// pass it: no other claim can be owed to the same sync entry meanwhile.
//
// The base lags behind the tail by less than 2^19 records, of the 2^20 that the
// tail word tells apart: each producer may have one claim without its base, and
// between two crossings there are at most hintBytes/16 records.
func (r *ring) markCrossings(pos uint64, end boundary) {
	if pos/r.chunk != end.pos/r.chunk {
		r.putPair(r.syncEntry(end.pos), end)
	}
	if pos/r.hintBytes != end.pos/r.hintBytes {
		casMax(r.b, offSeqBase, end.seq)
	}
}

// raiseMany is raise for many producers: announce, scan, grant, where announced
// and granted positions only grow.
//
// Ordering: a compare-and-swap that succeeds is a full fence on amd64 and, as
// store-release before load-acquire, ordered before the scan on arm64. One that
// finds a larger announcement has loaded it, so its scan comes after that
// announcement's store, too.
func (p *producer) raiseMany(need uint64) (holder int) {
	lim, holder := p.boundMany(p.tail + max(need, p.chunk))
	if lim < p.tail+need {
		return holder
	}
	casMax(p.b, offAnnounce, lim)
	lim, holder = p.boundMany(lim)
	if lim < p.tail+need {
		return holder
	}
	casMax(p.b, offUsable, lim)
	return slotNone
}

func (p *producer) boundMany(lim uint64) (uint64, int) {
	lim, holder := p.bound(p.tail, lim)
	return p.boundClaims(lim, holder)
}

// boundClaims keeps others from lapping an open claim: its owner, stopped and
// woken much later, would write over what they published. A claim that the
// announcement has passed already was found complete then.
//
// A reader that waits at an open claim forbids exactly as much. It is not the
// holder then: to demote it would lose it records and free nobody.
//
// A claim in front of the tail that this producer loaded is seen: see tryClaim.
// One behind it lies less than a lap before every limit that is asked for.
func (p *producer) boundClaims(lim uint64, holder int) (uint64, int) {
	announce := load64(p.b, offAnnounce)
	mask := load64(p.b, offLentMask) &^ (1 << p.slot)
	for ; mask != 0; mask &= mask - 1 {
		slot := bits.TrailingZeros64(mask)
		c, ok := p.intentOf(slot)
		if !ok || c.pos+p.capacity > lim || c.pos+p.capacity < announce {
			continue
		}
		if p.isOpen(c) {
			lim, holder = c.pos+p.capacity, holderOf(slot)
		}
	}
	return lim, holder
}

func (r *ring) isOpen(c intent) bool {
	if !r.wellFormed(c) || !r.won(c) {
		return false
	}
	pos, _, ok := r.firstOpen(c)
	return ok && pos < c.end() && load64(r.b, producerEntry(c.slot)+psIntent) == c.word
}

// holderOf names a producer among those who may hold a producer; readers are
// named by their slot.
func holderOf(producer int) int { return ConsumersMax + producer }

// heldByClaim says whether a producer's open claim still is in the way.
func (p *producer) heldByClaim(slot int) bool {
	c, ok := p.intentOf(slot)
	return ok && c.pos+p.capacity < p.tail+p.need && p.isOpen(c)
}
