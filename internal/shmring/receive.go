package shmring

import (
	"errors"
	"slices"
)

// consumer is the algorithm of one reader over plain bytes; Consumer wraps it.
type consumer struct {
	ring
	page       []byte // own cursor page
	slot       int
	generation uint32
	policy     Policy
	timestamps bool
	gating     bool // holds producers: block, and demote until demoted
	tags       []uint16
	private    uint64 // loadsBefore's word

	pos, seq  uint64 // next part
	gate      uint64 // as published
	told      uint64 // position of the published statistics
	resumed   bool   // a cursor was found in the page
	keep      bool   // the cursor is for a successor (cursor.go)
	saved     uint64 // position of the cursor in the page
	saves     uint64 // how often it was stored
	open      part   // a block reader's view that is out: part at pos
	buf       []byte // copies for readers that may be overrun
	stats     ConsumerStats
	missed    uint64 // since the last record delivered
	missedLen uint64
	gaps      uint64

	// Of a reader of spans (span.go):
	spans     bool
	released  boundary // before it the caller is done
	stableEnd uint64   // of the stable spans that were handed out
	startSeq  uint64
	looked    uint64 // position of the last look for a reason to stop
	ledger    spanLedger
	settled   ConsumerStats // as of released
}

// passedPartsMax is how many parts poll passes over before its caller looks
// whether it is to stop.
const passedPartsMax = 1024

// resyncParts is what an overrun counts for among them, and overrunsMax how many
// there may be at a time: a producer that forges its announcement may overrun a
// reader each time it looks.
const (
	overrunsMax = 16
	resyncParts = passedPartsMax / overrunsMax
)

// errPassing: poll has passed over many parts and has not found a record yet.
var errPassing = errors.New("passing over records")

// poll looks for the next record, stepping over everything else. It returns
// ErrEmpty, errPassing, ErrEndOfStream or ErrCorrupt, or a data part as find does.
func (c *consumer) poll() (part, error) {
	p, err := c.find()
	if err == nil && p.kind == kindEnd {
		c.step(p)
		return part{}, ErrEndOfStream
	}
	return p, err
}

// find looks for the next record or end, stepping over pads, gaps, jumps and
// records whose tag is not wanted. It returns ErrEmpty, errPassing or ErrCorrupt,
// or a part at c.pos which is checked as far as its header goes; a lappable
// reader must still copy data and ask lapped.
func (c *consumer) find() (part, error) {
	for passed, skipped := 0, false; passed < passedPartsMax; {
		pos := c.pos
		kind := c.kindAt(load64(c.b, c.geometry.at(pos)), pos)
		if kind == 0 {
			if c.lappable() && c.lapped() && c.resync() {
				passed += resyncParts
				continue
			}
			return part{}, ErrEmpty
		}
		if c.policy == PolicyLatest && !skipped {
			skipped = true
			if c.skipToHint() {
				continue
			}
		}
		p, ok := c.partAt(kind, pos)
		if kind == kindData && ok && c.wants(p.tag()) {
			lapped := false
			if c.policy == PolicyLatest {
				p, lapped = c.conflate(p)
			}
			if !lapped {
				return p, nil
			}
		}
		if c.lappable() && c.lapped() {
			if c.resync() {
				passed += resyncParts
				continue
			}
			return part{}, ErrEmpty
		}
		if !ok {
			return part{}, corruptAt(pos, "header of a part of kind %d is malformed (%d bytes)", kind, p.frame)
		}
		if kind == kindEnd {
			return p, nil
		}
		c.step(p)
		if kind == kindData {
			c.stats.Filtered++
		}
		passed++
	}
	return part{}, errPassing
}

func (c *consumer) wants(tag uint16) bool { return len(c.tags) == 0 || slices.Contains(c.tags, tag) }

// step goes past a part.
func (c *consumer) step(p part) {
	at := p.after(boundary{c.pos, c.seq})
	if p.missed() {
		c.miss(at, p.lost)
		return
	}
	c.pos, c.seq = at.pos, at.seq
	c.gaps += p.lost
	c.stats.GapRecords += p.lost
}

// view makes r the data part at pos, with its payload where it lies in the ring;
// deliver completes it. Records are filled in where the caller has them: copying
// one costs more than all the rest.
func (c *consumer) view(p part, r *Record) {
	off := c.geometry.at(c.pos)
	r.Position, r.Sequence, r.Tag = c.pos, c.seq, p.tag()
	if c.timestamps {
		r.Timestamp = int64(load64(c.b, off+recordHeaderBytes))
	}
	off += c.bodyOff
	r.Payload = c.b[off : off+p.payload() : off+p.payload()]
}

// take makes r the data part at pos: a view for block readers, a
// checked copy for the others. errLapped: the part was overwritten while it was
// copied; the reader then polls again. *ChecksumError: it is stepped over.
func (c *consumer) take(p part, r *Record) error {
	c.view(p, r)
	if c.lappable() {
		r.Payload = c.buf[:p.payload()]
		copyOut(r.Payload, c.b, c.geometry.at(c.pos)+c.bodyOff)
	}
	if err := c.verify(p, r); err != nil {
		return err
	}
	if c.lappable() {
		c.step(p)
	} else {
		c.open = p
	}
	c.deliver(r)
	return nil
}

// errLapped: what was read may be of two laps.
var errLapped = errors.New("overwritten while it was read")

// verify says whether r is what a producer published at pos: not overwritten
// meanwhile, and with the right checksum where the ring has them. A record with
// a wrong one is stepped over. Whether it was overwritten is asked last: r may be
// a view, whose checksum is computed as it lies in the ring.
func (c *consumer) verify(p part, r *Record) error {
	var stored, sum uint32
	if c.tailBytes > 0 {
		stored, sum = c.storedChecksum(c.pos, p.payload()), c.checksumOf(p, r)
	}
	if c.lappable() && c.lapped() {
		return errLapped
	}
	if sum == stored {
		return nil
	}
	c.stats.ChecksumErrors++
	c.step(p)
	return &ChecksumError{Position: r.Position, Sequence: r.Sequence, Want: stored, Got: sum}
}

// deliver hands the losses before r to it.
func (c *consumer) deliver(r *Record) {
	r.Missed, r.MissedBytes, r.Gaps = c.missed, c.missedLen, c.gaps
	c.missed, c.missedLen, c.gaps = 0, 0, 0
	c.stats.Delivered++
}

// finish takes note that the caller is done with the record it was given last,
// and gives back the view that is out, if any.
func (c *consumer) finish() {
	if c.open.kind != 0 {
		c.step(c.open)
		c.open = part{}
	}
	if c.keep && c.saved != c.done().pos {
		c.saveCursor()
	}
}
