package shmring

// mirrorWindowPart: a mirror announces a quarter of the ring ahead of its tail, so
// that its origin can send without waiting for each acknowledgement. Readers without
// a gate have three quarters left before they lose records; those of a ring whose
// producer is on this host have fifteen sixteenths.
const mirrorWindowPart = 4

// holdStepNanosMax bounds what a reader is charged for at a time: a mirror looks at
// its readers when its link does, which may be down meanwhile.
const holdStepNanosMax = int64(sleepMax)

// credit is how far the origin may send.
func (m *mirror) credit() uint64 {
	if m.limit < m.tail+tailGuardBytes {
		return m.tail
	}
	return m.limit - tailGuardBytes
}

// grant raises the limit to a window ahead of the tail, or to what the gates allow,
// and announces it; see gate.go for the order. Behind a jump further than a lap it
// may be that nothing is allowed yet: then nothing is announced either, so that
// readers without a gate keep what is there.
func (m *mirror) grant() {
	lim, slot := m.bound(m.tail, m.tail+m.window+tailGuardBytes)
	m.binding = slot
	if lim <= m.tail || lim <= m.limit {
		return
	}
	if lim > m.announced {
		m.announced = lim
		store64(m.b, offAnnounce, lim)
	}
	lim, m.binding = m.bound(m.tail, lim)
	m.limit = max(m.limit, lim)
	if m.binding == slotNone {
		m.binding = slot
	}
}

// progress grants what can be granted at time now (monotonic ns). A reader that
// leaves room for no part of the largest size holds the mirror, like a producer:
// whether the origin has more to send is not known here.
func (m *mirror) progress(now int64) {
	for {
		m.grant()
		if m.binding == slotNone || m.limit >= m.tail+m.need+tailGuardBytes {
			break
		}
		if m.held.since != 0 {
			m.held.since = max(m.held.since, now-holdStepNanosMax)
		}
		if m.holdSlot(m.binding, now) != 0 {
			return
		}
	}
	if m.held.since != 0 {
		m.held.since = max(m.held.since, now-holdStepNanosMax)
		m.release(slotNone, now)
	}
}

// keptByReaders is the boundary before which every reader is done, as their cursors
// say (ConsumerOptions.KeepCursor). It never goes down; a reader whose page is gone
// or holds what no reader writes keeps it where it is.
func (m *mirror) keptByReaders() boundary {
	low, bound := boundary{m.tail, m.seq}, false
	mask := load64(m.b, offConsumerMask)
	for slot := range m.cursors {
		if mask&(1<<slot) == 0 {
			continue
		}
		bound = true
		at, ok := m.cursorOf(slot)
		if !ok {
			return m.kept
		}
		if at.pos < low.pos {
			low = at
		}
	}
	if bound {
		m.kept = low
	}
	return m.kept
}

// cursorOf reads the cursor of a live reader.
//
// Ordering: the reader writes the entry that the count does not name, then the
// count. So the entry was not being replaced if the count, loaded after it, still
// names it.
func (m *mirror) cursorOf(slot int) (at boundary, ok bool) {
	if m.wasEvicted(slot) {
		return at, false
	}
	page := m.cursors[slot]
	for range cursorTriesMax {
		saves := load64(page, cuCursor)
		entry := cuCursorEntries + saves&1*16
		at = boundary{load64(page, entry), load64(page, entry+8)}
		if load64(page, cuCursor) == saves {
			sane := at.sane() && at.pos >= m.kept.pos && at.seq >= m.kept.seq && at.pos <= m.tail && at.seq <= m.seq
			return at, saves != 0 && sane
		}
	}
	return at, false
}

// cursorTriesMax bounds the read of a cursor that its reader replaces all the time.
const cursorTriesMax = 16
