package shmring

// A latest reader is given the newest record each time it asks, however far
// behind it is; what it passes over counts as missed. It costs producers
// nothing: they renew the hints that it jumps to in any case, once in hintBytes,
// and it never touches a word that is written with each record, but the commit
// word of the record itself.

// conflateBytesMax bounds the walk to the newest record, for a producer that is
// faster than the walk: the reader then gets what was newest a moment ago.
const conflateBytesMax = 1 << 20

// skipToHint jumps to the newest hint, if that lies ahead. A reader that selects
// tags walks instead: the newest record with its tag may lie before the hint.
func (c *consumer) skipToHint() bool {
	if len(c.tags) > 0 {
		return false
	}
	announce := load64(c.b, offAnnounce)
	at, ok := c.hint(c.oldest(announce), announce)
	if !ok || at.pos <= c.pos || at.seq < c.seq {
		return false
	}
	c.miss(at, at.seq-c.seq)
	return true
}

// conflate goes from the wanted data part p at pos to the newest one that is
// committed, and returns it. An end of stream is not passed over. Nothing that was
// walked over is believed, or counted, before the first of it is known to be still
// there: a gap or a jump that is being overwritten may stand for anything. lapped:
// it was not, and the reader is where it was.
func (c *consumer) conflate(p part) (newest part, lapped bool) {
	at := p.after(boundary{c.pos, c.seq})
	to, newest := boundary{c.pos, c.seq}, p
	var now, then passed // behind p; of now, what lies before newest
	for limit := c.pos + conflateBytesMax; at.pos < limit; {
		q, ok := c.next(at.pos)
		if !ok || q.kind == 0 || q.kind == kindEnd {
			break
		}
		switch {
		case q.kind == kindData && c.wants(q.tag()):
			newest, to, then = q, at, now
		case q.kind == kindData:
			now.filtered++
		case !q.missed(): // a gap, or a jump that counts as one
			now.gaps += q.lost
		}
		at = q.after(at)
	}
	if c.lapped() {
		return p, true
	}
	if to.pos != c.pos {
		c.miss(to, to.seq-c.seq-then.filtered-then.gaps)
		c.stats.Filtered += then.filtered
		c.gaps += then.gaps
		c.stats.GapRecords += then.gaps
	}
	return newest, false
}

// passed counts records that were passed over and not missed.
type passed struct{ filtered, gaps uint64 }

// miss goes to a boundary ahead and counts records as missed on the way.
func (c *consumer) miss(at boundary, records uint64) {
	c.missed += records
	c.missedLen += at.pos - c.pos
	c.stats.MissedRecords += records
	c.stats.MissedBytes += at.pos - c.pos
	c.pos, c.seq = at.pos, at.seq
}
