package shmring

// A jump is the hole in a mirror where its origin's records were lost on the way:
// the next part is at its target, and the records in between count as missed or as
// a gap. It may lead further than a lap.
//
//	00 commit, kind 5
//	08 len u32   32; or 16 for a hole of 16 bytes, whose target is right behind it
//	0C aux u32   bit 0: missed, not a gap; bits 1-23, of a hole of 16 bytes: records lost
//	10 target u64
//	18 records lost u64
const (
	jumpBytes      = 32
	jumpTarget     = 0x10
	jumpLost       = 0x18
	jumpMissed     = 1 // in aux
	jumpShortShift = 1
)

// JumpBytesMax is what a jump may take in the ring: itself, and a pad where 16
// bytes are left before the ring's end.
const JumpBytesMax = recordAlign + jumpBytes

// bytes is what the part itself takes in the ring.
func (p part) bytes() uint64 {
	if p.kind == kindJump {
		return p.header & 0xFFFFFFFF
	}
	return p.frame
}

// jumpAt completes a jump at pos, of which the header was looked at already.
func (r *ring) jumpAt(p part, pos uint64) (part, bool) {
	aux := p.header >> 32
	if p.frame == recordAlign {
		p.lost = aux & gapRecordsMask >> jumpShortShift
		return p, true
	}
	target := load64(r.b, r.at(pos)+jumpTarget)
	p.lost = load64(r.b, r.at(pos)+jumpLost)
	// One record more than the hole has room for was where the pad before it is.
	most := (target-pos)/recordAlign + 1
	ok := p.frame == jumpBytes && p.lost <= most && target >= pos+jumpBytes && target < positionMax && target%recordAlign == 0
	p.frame = target - pos
	return p, ok
}
