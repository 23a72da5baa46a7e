package shmring

import "math/bits"

// Claims of many producers. A claim is won by the compare-and-swap of the tail
// word; what it covers stands before that, as an intent, in the claimer's own
// slot, so that a claim whose owner died can be found and turned into a gap.
//
//	tail word: position/16 (bits 0-37) | slot of the last claimer (38-43) |
//	           sequence number, low 20 bits (44-63)
//	intent:    the tail word that the claimer loaded, or intentNone; and bytes,
//	           records, position and sequence number of the claim
//
// An intent does not say who won: a claimer that lost and was stopped leaves one
// for the same position. So the tail word names the last claimer, the next
// claim's intent carries that word on, and so does its first part, as
// prev_owner. won looks in this order, and in one of the three places a winner
// is visible for as long as its claim can be open: the tail word, until the next
// claim is won; the next claimer's intent, stored before its compare-and-swap
// and cleared after its first part is committed; that part, which nobody can
// overwrite before the claim in front of it is complete (boundClaims).
const (
	tailPositionBits = 38
	tailOwnerBits    = 6
	tailPositionMask = 1<<tailPositionBits - 1
	tailOwnerMask    = 1<<tailOwnerBits - 1
	tailCountMask    = 1<<20 - 1
	ownerNone        = tailOwnerMask
	intentNone       = ^uint64(0) // its owner bits are ownerNone, its position would be past positionMax
	prevOwnerShift   = 24         // in aux
)

func tailWord(pos uint64, owner int, count uint64) uint64 {
	return pos/recordAlign&tailPositionMask | uint64(owner)<<tailPositionBits | count<<(tailPositionBits+tailOwnerBits)
}

func tailOwner(word uint64) uint64 { return word >> tailPositionBits & tailOwnerMask }
func tailCount(word uint64) uint64 { return word >> (tailPositionBits + tailOwnerBits) }

// tailPosition completes the position in a tail word. The announcement is loaded
// after the word and is at least the tail: less than a lap beyond it while the
// word is current. ok is false when it is further, so the word is either old or
// garbage, and so is an announcement that no part can end at.
func (r *ring) tailPosition(word uint64) (pos uint64, ok bool) {
	announce := load64(r.b, offAnnounce)
	ahead := recordAlign * ((announce/recordAlign - word&tailPositionMask) & tailPositionMask)
	return announce - ahead, ahead <= r.capacity && ahead <= announce && announce < positionMax && announce%recordAlign == 0
}

// intent is a claim as its owner's slot describes it.
type intent struct {
	slot     int
	word     uint64 // tail word it was made on
	pos, seq uint64
	bytes    uint64
	records  uint64
}

func (c intent) end() uint64 { return c.pos + c.bytes }

// intentOf reads the intent in a slot. ok is false when there is none, or when it
// changed meanwhile: then the claim that it described is complete.
//
// Ordering: the owner stores intentNone, the fields, then the word, all with
// release; the word loaded again at the end with the same value means that the
// fields are its own.
func (r *ring) intentOf(slot int) (c intent, ok bool) {
	entry := producerEntry(slot)
	word := load64(r.b, entry+psIntent)
	if word == intentNone {
		return c, false
	}
	length := load64(r.b, entry+psClaimLen)
	c = intent{
		slot: slot, word: word,
		pos:     load64(r.b, entry+psClaimPos),
		seq:     load64(r.b, entry+psClaimSeq),
		bytes:   length & 0xFFFFFFFF,
		records: length >> 32,
	}
	return c, load64(r.b, entry+psIntent) == word
}

// wellFormed says whether a correct producer could have made this claim.
func (r *ring) wellFormed(c intent) bool {
	return c.pos%recordAlign == 0 && c.pos < positionMax && c.bytes%recordAlign == 0 && c.bytes > 0 &&
		c.bytes <= r.claimMax && c.records <= c.bytes/recordAlign && c.seq <= c.pos/recordAlign
}

// won says whether the claim of an intent was won, for claims that may be open.
func (r *ring) won(c intent) bool {
	after := tailWord(c.end(), c.slot, (tailCount(c.word)+c.records)&tailCountMask)
	tail := load64(r.b, offTail)
	if tail == c.word {
		return false
	}
	if tail == after {
		return true
	}
	mask := load64(r.b, offLentMask) &^ (1 << c.slot)
	for ; mask != 0; mask &= mask - 1 {
		slot := bits.TrailingZeros64(mask)
		if load64(r.b, producerEntry(slot)+psIntent) == after {
			return true
		}
	}
	if r.kindAt(load64(r.b, r.at(c.end())), c.end()) == 0 {
		return false
	}
	aux := load64(r.b, r.at(c.end())+8) >> 32
	return aux>>prevOwnerShift == uint64(c.slot)
}

// claimPartsMax: a claim is one record or a gap in its place, and a pad.
const claimPartsMax = 2

// firstOpen walks the parts of a won claim to the first that is not committed.
// left counts the records from there on. ok is false when a part is malformed, or
// there are more than a claim has: others walk here, again and again, before they
// may write.
func (r *ring) firstOpen(c intent) (pos, left uint64, ok bool) {
	pos, left = c.pos, c.records
	for parts := 0; pos < c.end(); parts++ {
		p, good := r.next(pos)
		if !good || pos+p.frame > c.end() || parts == claimPartsMax {
			return pos, left, false
		}
		if p.kind == 0 {
			break
		}
		records := p.after(boundary{}).seq
		if records > left {
			return pos, left, false
		}
		pos, left = pos+p.frame, left-records
	}
	return pos, left, true
}

// casMax raises a word to v unless it is there already.
func casMax(b []byte, off, v uint64) {
	for {
		now := load64(b, off)
		if now >= v || cas64(b, off, now, v) {
			return
		}
	}
}
