package shmring

import "fmt"

// Start says where a reader begins.
type Start struct {
	kind     startKind
	position uint64
}

type startKind uint8

const (
	startLatest startKind = iota
	startOldest
	startPosition
	startResume
)

// FromLatest starts behind the newest record: only what comes is read.
func FromLatest() Start { return Start{kind: startLatest} }

// FromOldest starts at the oldest record the ring still holds.
func FromOldest() Start { return Start{kind: startOldest} }

// FromPosition starts exactly at a position, which must be held by the ring and
// be the start of a record (or the end of the ring): *PositionError otherwise.
func FromPosition(pos uint64) Start { return Start{kind: startPosition, position: pos} }

// FromResume starts at the cursor that the slot's former reader left in its page
// (ConsumerOptions.KeepCursor), or with the exact count of what was missed when
// the ring no longer holds that position.
func FromResume() Start { return Start{kind: startResume} }

// Resumes says whether the start is FromResume.
func (s Start) Resumes() bool { return s.kind == startResume }

// String gives the word that the command line uses.
func (s Start) String() string {
	switch s.kind {
	case startOldest:
		return "oldest"
	case startPosition:
		return fmt.Sprint(s.position)
	case startResume:
		return "resume"
	}
	return "latest"
}

// startTriesMax bounds the search for a start that a producer at full speed
// does not overtake. A reader that gates needs two: its first gate, however
// stale, already stops producers (gate.go).
const startTriesMax = 10000

// begin goes to the start.
func (c *consumer) begin(from Start) error {
	if from.kind == startResume {
		return c.attachAtCursor()
	}
	return c.attach(from)
}

// startAt is the end of every way to a start, which hold has secured.
func (c *consumer) startAt(at boundary) {
	c.pos, c.seq, c.released = at.pos, at.seq, at
	if c.keep {
		c.saveCursor()
	}
	c.told = ^at.pos // so that publish tells the start, too
	c.publish()
	if c.gating { // a producer may sleep on a gate that was tried before
		futexWake(c.page, cuGate)
	}
}

// attachAtCursor goes on where the slot's former reader stopped, or, when that is
// overwritten, at the oldest record, and counts what was missed in between.
func (c *consumer) attachAtCursor() error {
	at, ok := c.savedCursor()
	if !ok {
		return c.attach(FromOldest())
	}
	c.resumed = true
	if c.stillHeld(at.pos) || c.hold(at.pos) {
		c.startAt(at)
		return nil
	}
	if err := c.attach(FromOldest()); err != nil {
		return err
	}
	first := boundary{c.pos, c.seq}
	if first.pos < at.pos || first.seq < at.seq {
		return corruptAt(at.pos, "the cursor kept for record %d does not fit the ring", at.seq)
	}
	c.pos, c.seq = at.pos, at.seq
	c.miss(first, first.seq-at.seq)
	return nil
}

// stillHeld says whether producers have respected the gate in the page all the
// time since the slot's former reader stored it: then everything from there on is
// there, whatever the announcement says, which may run ahead of what was granted
// (gate.go). A gate that they did not respect was taken out by the daemon.
func (c *consumer) stillHeld(pos uint64) bool {
	return c.gating && load64(c.page, cuGate) <= pos && c.holds()
}

// attach finds the start, publishes the gate and checks that it was seen.
func (c *consumer) attach(from Start) error {
	parts := c.walkParts()
	for range startTriesMax {
		announce := load64(c.b, offAnnounce)
		if announce >= positionMax {
			return corruptAt(announce, "announced position is out of range")
		}
		near, err := c.startBoundary(from, announce)
		if err != nil {
			return c.giveUp(err)
		}
		if !c.hold(near.pos) {
			continue
		}
		at, ok, err := c.walkToStart(from, near, &parts)
		if err != nil {
			return c.giveUp(err)
		}
		if !ok || !c.hold(at.pos) {
			continue
		}
		c.startAt(at)
		return nil
	}
	return c.giveUp(corruptAt(load64(c.b, offAnnounce), "no start position holds still"))
}

// hold publishes pos as gate, if this reader gates, and says whether everything
// from pos on is still there: the store comes before the load (gate.go).
func (c *consumer) hold(pos uint64) bool {
	if c.gating {
		c.gate = pos
		store64(c.page, cuGate, pos)
	}
	return load64(c.b, offAnnounce) <= pos+c.capacity
}

func (c *consumer) giveUp(err error) error {
	store64(c.page, cuGate, gateNone)
	futexWake(c.page, cuGate)
	return err
}

// startBoundary is a known boundary at or before the start that is wanted.
func (c *consumer) startBoundary(from Start, announce uint64) (boundary, error) {
	low := c.oldest(announce)
	switch from.kind {
	case startOldest:
		return c.firstBoundary(low, announce)
	case startLatest:
		return c.recent()
	}
	if from.position <= c.reach(announce) {
		if at, ok := c.newestSync(low, from.position); ok {
			return at, nil
		}
	}
	return boundary{}, c.positionError(from.position, false)
}

// firstBoundary is the lowest known boundary at or above low.
func (c *consumer) firstBoundary(low, announce uint64) (boundary, error) {
	for n := low / c.chunk; n <= announce/c.chunk; n++ {
		if at, ok := c.syncAt(n); ok && at.pos >= low && at.pos <= announce {
			return at, nil
		}
	}
	return c.recent()
}

// walkToStart goes from a boundary that is held to the exact start. ok is false
// when the reader was overtaken on the way (it does not gate) and must retry.
func (c *consumer) walkToStart(from Start, at boundary, parts *uint64) (end boundary, ok bool, err error) {
	if from.kind == startOldest {
		return at, true, nil
	}
	var good bool
	if from.kind == startLatest {
		end, good = c.walkToEnd(at, parts)
	} else {
		end, good = c.walkTo(at, from.position, parts)
	}
	loadsBefore(&c.private)
	if load64(c.b, offAnnounce) > at.pos+c.capacity {
		return end, false, nil
	}
	if !good {
		return end, false, corruptAt(end.pos, "bad record header, or too many records before the start")
	}
	if from.kind == startPosition && end.pos != from.position {
		return end, false, c.positionError(from.position, end.pos > from.position)
	}
	return end, true, nil
}

func (c *consumer) positionError(wanted uint64, inside bool) error {
	announce := load64(c.b, offAnnounce)
	newest, err := c.newest()
	if err != nil {
		return err
	}
	oldest, err := c.firstBoundary(c.oldest(announce), announce)
	if err != nil {
		return err
	}
	return &PositionError{Wanted: wanted, Oldest: oldest.pos, Newest: newest.pos, Inside: inside}
}
