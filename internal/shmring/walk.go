package shmring

import "math/bits"

// ring is the shared bytes of a ring and its geometry: what producer, consumer
// and daemon have in common. b is the data file; cursors[i] is the page of
// consumer slot i, or nil where the caller was not lent it.
type ring struct {
	geometry
	b       []byte
	cursors [][]byte
}

// boundary is a position where a record starts, and how many records there are
// before it.
type boundary struct {
	pos, seq uint64
}

// Boundary is a position where a part starts, bytes, and how many records of the
// epoch are before it.
type Boundary struct{ Position, Sequence uint64 }

func (b Boundary) boundary() boundary { return boundary{b.Position, b.Sequence} }

func (at boundary) public() Boundary { return Boundary{at.pos, at.seq} }

// sane says whether a ring can have that boundary at all.
func (at boundary) sane() bool {
	return at.pos < positionMax && at.pos%recordAlign == 0 && at.seq <= at.pos/recordAlign
}

// next reads the part that is committed at pos. kind 0: nothing is committed
// there. ok false: what is there was written by no correct producer (or, for a
// reader that may be lapped, was overwritten between the two loads).
func (r *ring) next(pos uint64) (p part, ok bool) {
	kind := r.kindAt(load64(r.b, r.at(pos)), pos)
	if kind == 0 {
		return part{}, true
	}
	return r.partAt(kind, pos)
}

// partAt reads the part at pos, whose commit word says kind.
func (r *ring) partAt(kind, pos uint64) (p part, ok bool) {
	p, ok = r.parse(kind, pos, load64(r.b, r.at(pos)+8))
	if kind == kindJump && ok {
		return r.jumpAt(p, pos)
	}
	return p, ok
}

// after is the boundary behind part p at at.
func (p part) after(at boundary) boundary {
	at.pos += p.frame
	switch p.kind {
	case kindData:
		at.seq++
	case kindGap, kindJump:
		at.seq += p.lost
	}
	return at
}

// dataRun follows data parts from at that end at limit or before, which is not
// across the ring's end, and have no bit of reserved set in their header. It stops
// at any other part, well formed or not, and at what is not committed. frame is that
// of the last one.
//
// A mirror's both ends walk over every record, so this loop is what they cost. Most
// records are as long as the one before: guessing that, instead of computing the
// next position from what was just loaded, lets the CPU fetch many ahead.
func (r *ring) dataRun(at boundary, limit, reserved uint64) (end boundary, frame uint64) {
	length := uint64(1) << 32 // of no part
	for {
		off := r.at(at.pos)
		if at.pos >= limit || load64(r.b, off) != r.commitWord(at.pos, kindData) {
			return at, frame
		}
		header := load64(r.b, off+8)
		n := frame
		if header&0xFFFFFFFF != length {
			n = r.frameBytes(header & 0xFFFFFFFF)
		}
		if header&0xFFFFFFFF > r.recordMax || n > limit-at.pos || header&reserved != 0 {
			return at, frame
		}
		length, frame = header&0xFFFFFFFF, n
		at.pos += frame
		at.seq++
	}
}

// oldest is the lowest position that was surely not overwritten yet.
func (r *ring) oldest(announce uint64) uint64 {
	if announce <= r.capacity {
		return 0
	}
	return announce - r.capacity
}

// pair reads a position and its sequence number that a producer may be
// replacing: the position is loaded before and after. Producers store
// syncNone, then the sequence, then the position (putPair).
func (r *ring) pair(off uint64) (boundary, bool) {
	pos := load64(r.b, off)
	seq := load64(r.b, off+8)
	if pos == syncNone || load64(r.b, off) != pos {
		return boundary{}, false
	}
	at := boundary{pos, seq}
	return at, at.sane()
}

func (r *ring) putPair(off uint64, at boundary) {
	storeRel64(r.b, off, syncNone)
	storeRel64(r.b, off+8, at.seq)
	storeRel64(r.b, off, at.pos)
}

func (r *ring) syncEntry(pos uint64) uint64 {
	return syncOff + pos/r.chunk%r.chunks*syncEntryBytes
}

// syncAt is the first record boundary of chunk number c, if it is known.
func (r *ring) syncAt(c uint64) (boundary, bool) {
	at, ok := r.pair(syncOff + c%r.chunks*syncEntryBytes)
	return at, ok && at.pos/r.chunk == c
}

// newestSync is the newest boundary from low to high in the sync table.
func (r *ring) newestSync(low, high uint64) (best boundary, found bool) {
	if low > high {
		return best, false
	}
	if high/r.chunk-low/r.chunk <= r.chunks { // no more than the table has: the first from above
		for n := high/r.chunk + 1; n > low/r.chunk; n-- {
			if at, ok := r.syncAt(n - 1); ok && at.pos >= low && at.pos <= high {
				return at, true
			}
		}
		return best, false
	}
	for entry := range r.chunks {
		at, ok := r.pair(syncOff + entry*syncEntryBytes)
		ok = ok && at.pos/r.chunk%r.chunks == entry && at.pos >= low && at.pos <= high
		if ok && (!found || at.pos > best.pos) {
			best, found = at, true
		}
	}
	return best, found
}

// reach is the highest position that a boundary may have. A mirror jumps past
// what it has announced, and writes the sync entry there at once (mirror.go).
func (r *ring) reach(announce uint64) uint64 {
	if r.mirror {
		return positionMax
	}
	return announce
}

// hint is the newest of the producers' hints from low to announce: the start of
// a committed record, at most hintBytes and a record behind the newest one of
// its producer.
func (r *ring) hint(low, announce uint64) (best boundary, found bool) {
	mask := load64(r.b, offLentMask)
	for ; mask != 0; mask &= mask - 1 {
		slot := bits.TrailingZeros64(mask)
		at, ok := r.pair(producerEntry(slot) + psHint)
		if ok && at.pos >= low && at.pos <= announce && (!found || at.pos > best.pos) {
			best, found = at, true
		}
	}
	return best, found
}

// recent is the newest boundary that is known without walking: a hint, or else
// the newest sync entry, or the ring's beginning. Several tries, because a
// producer at full speed replaces what is being read. With many producers a
// claim before it may still be open.
func (r *ring) recent() (boundary, error) {
	for range recentTriesMax {
		announce := load64(r.b, offAnnounce)
		if announce >= positionMax {
			return boundary{}, corruptAt(announce, "announced position is out of range")
		}
		low := r.oldest(announce)
		best, found := r.hint(low, announce)
		if at, ok := r.newestSync(low, r.reach(announce)); ok && (!found || at.pos > best.pos) {
			best, found = at, true
		}
		if found {
			return best, nil
		}
	}
	return boundary{}, corruptAt(load64(r.b, offAnnounce), "no record boundary is known")
}

// recentTriesMax bounds recent against a peer that rewrites the tables for ever.
const recentTriesMax = 1000

// triesPartsMax is how many parts a search may walk over in vain, in all its tries.
const triesPartsMax = 1 << 20

// walkParts is how many parts a search may walk over: a whole ring of the smallest
// ones, and those of the tries. A producer that writes garbage could make it longer
// and never end.
func (r *ring) walkParts() uint64 { return r.capacity/recordAlign + triesPartsMax }

// newest walks from the newest known boundary to the first part behind it that
// is not committed. It is exact while nothing is being published, and otherwise
// a position that was the end at some moment of the call. The walk is bounded:
// behind a hint there are at most hintBytes and one claim of each producer,
// behind a sync entry one chunk more.
func (r *ring) newest() (boundary, error) {
	parts := r.walkParts()
	for range recentTriesMax {
		at, err := r.recent()
		if err != nil {
			return boundary{}, err
		}
		end, ok := r.walkToEnd(at, &parts)
		overtaken := load64(r.b, offAnnounce) > at.pos+r.capacity // then what was walked over may be garbage
		if ok && !overtaken {
			return end, nil
		}
		if !overtaken && parts > 0 {
			return boundary{}, corruptAt(end.pos, "bad record header")
		}
	}
	return boundary{}, corruptAt(load64(r.b, offAnnounce), "the end of the ring cannot be found")
}

// lookPartsMax and lookTriesMax bound a look at the end by somebody who looks again
// and has others to look after.
const (
	lookPartsMax = 4096
	lookTriesMax = 16
)

// look is newest for the daemon and the gateway, which must not be made to walk for
// long, however a producer writes: behind a hint that is right it is exact. seen is
// what the last look found. Where the end is further off than a look goes, the next
// one goes on from there.
func (r *ring) look(seen boundary) (boundary, error) {
	for range lookTriesMax {
		at, err := r.recent()
		if err != nil {
			return boundary{}, err
		}
		if at.pos < seen.pos {
			at = seen
		}
		parts := uint64(lookPartsMax)
		end, ok := r.walkToEnd(at, &parts)
		announce := load64(r.b, offAnnounce)
		switch {
		case announce > at.pos+r.capacity:
			continue // what was walked over may be garbage
		case at.pos > r.reach(announce):
			return boundary{}, corruptAt(at.pos, "the announced position went back to %d", announce)
		case ok:
			return end, nil
		case parts > 0:
			return boundary{}, corruptAt(end.pos, "bad record header")
		}
		seen = end
	}
	return seen, nil
}

// walkToEnd follows parts from at to the first that is not committed, over at
// most half a ring. ok is false at a part that is not well formed, and when no
// parts are left to walk over, which are taken off.
func (r *ring) walkToEnd(at boundary, parts *uint64) (end boundary, ok bool) {
	for left := r.capacity / 2; left > 0; *parts-- {
		p, ok := r.next(at.pos)
		if !ok || *parts == 0 {
			return at, false
		}
		if p.kind == 0 {
			break
		}
		at = p.after(at)
		left -= min(left, p.bytes())
	}
	return at, true
}

// walkTo follows parts from at to the first that is not committed or not below
// limit. ok as for walkToEnd.
func (r *ring) walkTo(at boundary, limit uint64, parts *uint64) (end boundary, ok bool) {
	for ; at.pos < limit; *parts-- {
		p, ok := r.next(at.pos)
		if !ok || *parts == 0 {
			return at, false
		}
		if p.kind == 0 {
			break
		}
		at = p.after(at)
	}
	return at, true
}
