package shmring

import "encoding/binary"

// mirror is the algorithm of the one writer of a mirror over plain bytes: a single
// producer whose records come ready-made from its origin. Mirror wraps it.
//
// Place hands out the ring's own memory, but for the first 16 bytes of a chunk, so
// that bytes come from a socket to where they stay. Until the first commit word is
// stored nobody can see any of it: every walk stops at the tail, whose word is
// valid for nothing, and no sync entry or hint leads past it. Commit:
//
//  1. looks at every part of the chunk; if one is wrong, scrubs it
//  2. makes the word behind the chunk one that is no part, and scrubs what lies
//     further on of a longer chunk that never was committed
//  3. header word of the first part, then its commit word (release): all of the
//     chunk is visible
//  4. sync entries, hint
//  5. wakes sleepers
//
// Ordering: 1 and 2 and the bytes themselves come before the release store of 3; a
// reader that has seen that word by an acquire load sees them. It sees no commit
// word of the chunk before, because it looks at none.
//
// Killed before 3, the writer leaves bytes behind the tail that nobody ever
// checked: recover scrubs them before anything else is written. Killed in 4, it
// leaves sync entries missing: a walk to the end is longer by one chunk, which
// walkToEnd allows, and recover fills them in.
//
// A payload of an earlier lap, too, may hold what would be a part one lap later: a
// local producer who did that would hurt its own ring only, a hostile origin would
// get readers to see records that were never checked. So step 2, and the last 16
// bytes of what is granted are kept back for it.
type mirror struct {
	producer
	missed   bool   // jumps count as missed
	ownerMax uint64 // prev_owner of a part
	reserved uint64 // bits of a data part's header that are 0
	need     uint64 // bytes that any single part or jump can take

	placed  uint64 // bytes of the chunk at the tail
	dirty   uint64 // below it bytes were placed that nobody checked
	window  uint64 // bytes that it announces ahead of its tail
	binding int    // the slot that kept the last grant below the window, or slotNone
	kept    boundary
}

// tailGuardBytes is what a mirror keeps back of its grant: the commit word behind
// what it has written.
const tailGuardBytes = recordAlign

// newMirror sets up a mirror over bytes that are already mapped.
func newMirror(b []byte, cursors [][]byte, config Config, o MirrorOptions) mirror {
	g := config.geometry()
	m := mirror{
		producer: producer{ring: ring{geometry: g, b: b, cursors: cursors}},
		missed:   o.Missed,
		window:   config.Capacity / mirrorWindowPart,
		need:     max(g.frameBytes(g.recordMax), JumpBytesMax),
		binding:  slotNone,
	}
	if config.Many {
		m.ownerMax = ownerNone
	}
	m.reserved = (1<<prevOwnerShift - 1<<16 | (0xFF&^m.ownerMax)<<prevOwnerShift) << 32
	return m
}

// recover finds the end of what was committed, fills in the sync entries that a
// killed writer owed, and scrubs what it had placed.
func (m *mirror) recover() error {
	at, err := m.recent()
	if err != nil {
		return err
	}
	m.synced = at.pos / m.chunk
	if entry, ok := m.syncAt(m.synced); ok && entry.pos <= at.pos {
		m.synced++
	}
	for {
		m.markSync(at)
		p, ok := m.next(at.pos)
		if !ok {
			return corruptAt(at.pos, "bad record header")
		}
		if p.kind == 0 {
			break
		}
		at = p.after(at)
	}
	m.tail, m.seq, m.limit, m.kept = at.pos, at.seq, at.pos, at
	if hint, ok := m.pair(producerEntry(0) + psHint); ok {
		m.hinted = hint.pos
	}
	if m.announced = load64(m.b, offAnnounce); m.announced > m.tail+m.capacity {
		return corruptAt(m.tail, "announced position %d does not fit the newest record", m.announced)
	}
	// Never beyond what the gates allow: there lie records that are still read.
	lim, _ := m.bound(m.tail, m.announced)
	m.scrub(m.tail, lim)
	return nil
}

// markSync writes the sync entry for a boundary that is the first in its chunk.
func (m *mirror) markSync(at boundary) {
	if c := at.pos/m.chunk + 1; c > m.synced {
		m.putPair(m.syncEntry(at.pos), at)
		m.synced = c
	}
}

// scrub clears every word in [from, to) that would be a part's commit word there.
func (m *mirror) scrub(from, to uint64) {
	for pos := from; pos < to; pos += recordAlign {
		if m.kindAt(load64(m.b, m.at(pos)), pos) != 0 {
			store64(m.b, m.at(pos), 0)
		}
	}
}

// dropPlaced forgets the chunk that was placed.
func (m *mirror) dropPlaced() {
	m.scrub(m.tail, m.dirty)
	m.placed, m.dirty = 0, 0
}

// place opens memory for a chunk at the tail and returns the offset of it.
func (m *mirror) place(pos, n uint64) (off uint64, err error) {
	switch {
	case pos != m.tail:
		return 0, badChunk(pos, "the mirror ends at position %d", m.tail)
	case n < recordAlign || n%recordAlign != 0 || n > m.spanMax:
		return 0, badChunk(pos, "%d bytes: want a multiple of %d up to %d", n, recordAlign, m.spanMax)
	case n > m.capacity-pos&m.mask:
		return 0, badChunk(pos, "%d bytes go beyond the ring's end", n)
	case n > m.credit()-m.tail:
		return 0, badChunk(pos, "%d bytes go beyond the limit %d", n, m.credit())
	}
	m.placed, m.dirty = n, max(m.dirty, pos+n)
	return m.at(pos), nil
}

// commit publishes what was placed, if all of it is right.
func (m *mirror) commit(c Chunk) error {
	s, err := m.inspect(c)
	if err != nil {
		m.dropPlaced()
		return err
	}
	m.scrub(s.end.pos, max(s.end.pos+tailGuardBytes, m.dirty))
	m.placed, m.dirty = 0, 0
	off := m.at(m.tail)
	copyIn(m.b, off+8, c.First[8:])
	m.store(off, binary.LittleEndian.Uint64(c.First[:]))
	for _, at := range s.marks[:s.marked] {
		m.putPair(m.syncEntry(at.pos), at)
	}
	m.synced = s.synced
	if s.data && s.newest.pos >= m.hinted+m.hintBytes {
		m.hinted = s.newest.pos
		m.putPair(producerEntry(0)+psHint, s.newest)
	}
	m.tail, m.seq = s.end.pos, s.end.seq
	return nil
}

// jump publishes a jump to the position to, which stands for lost records.
//
// Order: the jump, then the sync entry of its target, then, with the next grant,
// the announcement: so that readers that attach always find a boundary that is not
// overwritten. Those in between know an entry beyond the announcement (reach). A
// target that is far away may need the slot of the very entry that is the newest:
// then the hint is on the jump first.
func (m *mirror) jump(to, lost uint64) error {
	hole, pad := to-m.tail, uint64(0)
	if to < m.tail+recordAlign || to%recordAlign != 0 || to >= positionMax || lost > hole/recordAlign {
		return badChunk(m.tail, "a hole to position %d cannot stand for %d records", to, lost)
	}
	if room := m.capacity - m.tail&m.mask; room == recordAlign && hole > recordAlign {
		pad = recordAlign
	}
	size := min(hole-pad, jumpBytes)
	if pad+size > m.credit()-m.tail {
		return badChunk(m.tail, "a jump goes beyond the limit %d", m.credit())
	}
	m.dropPlaced()
	if to <= m.credit() {
		m.scrub(to, to+tailGuardBytes)
	} else if m.kindAt(load64(m.b, m.at(to)), to) != 0 { // not ours to clear: it may still be read
		return badChunk(m.tail, "a record of the origin holds what would be a part at the target %d", to)
	}
	if pad > 0 {
		m.scrub(m.tail+pad, m.tail+pad+tailGuardBytes)
		m.part(kindPad, pad, pad)
		m.tail += pad
	}
	m.putJump(size, to, lost)
	if hole >= m.capacity/2 {
		m.hinted = m.tail
		m.putPair(producerEntry(0)+psHint, boundary{m.tail, m.seq})
	}
	m.tail, m.seq = to, m.seq+lost
	m.markSync(boundary{m.tail, m.seq})
	return nil
}

func (m *mirror) putJump(size, to, lost uint64) {
	aux := uint64(0)
	if m.missed {
		aux = jumpMissed
	}
	if size == jumpBytes {
		put64(m.b, m.at(m.tail)+jumpTarget, to)
		put64(m.b, m.at(m.tail)+jumpLost, lost)
	} else {
		aux |= lost << jumpShortShift
	}
	m.part(kindJump, size, size|aux<<32)
}
