package shmring

import (
	"math/bits"
	"runtime/debug"
)

// Stats is what a ring has done since its epoch began, as the shared words say.
type Stats struct {
	State          State
	Position       uint64 // bytes written, headers and padding included
	Sequence       uint64 // records published
	Oldest         uint64 // no position below it is held
	OccupancyBytes uint64 // not yet read by the slowest gating reader
	Producers      int
	Consumers      int
	GapRecords     uint64
	HeldNanos      uint64
	DroppedRecords uint64
	Demotions      uint64
}

// Stats reads the ring, and looks whether what only the daemon writes is as it
// wrote it, and what producers write fits together. The end is found by walking from
// the newest hint, so position and sequence are exact while nothing is published.
// Errors: ErrCorrupt, ErrFault.
func (r *Ring) Stats() (s Stats, err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	if err := r.sound(); err != nil {
		return Stats{}, err
	}
	if err := r.plausible(); err != nil {
		return Stats{}, err
	}
	end, err := r.end()
	if err != nil {
		return Stats{}, err
	}
	s = Stats{
		State:     State(load32(r.b, offState)),
		Position:  end.pos,
		Sequence:  end.seq,
		Oldest:    r.oldest(load64(r.b, offAnnounce)),
		Producers: bits.OnesCount64(r.ownMask(offProducerMask)),
		Consumers: bits.OnesCount64(r.ownMask(offConsumerMask)),
	}
	for slot := range r.pages {
		c, err := r.consumerStats(slot, end.pos)
		if err == nil && c.Gating && c.LagBytes <= r.capacity {
			s.OccupancyBytes = max(s.OccupancyBytes, c.LagBytes)
		}
	}
	for slot := range r.config.ProducersMax() {
		entry := producerEntry(slot)
		s.GapRecords += load64(r.b, entry+psGapRecords)
		s.HeldNanos += load64(r.b, entry+psHeldNanos)
		s.DroppedRecords += load64(r.b, entry+psDropped)
		s.Demotions += load64(r.b, entry+psDemotions)
	}
	return s, nil
}

// ConsumerStats reads what the reader in slot tells of itself. A reader that
// gates publishes its position at least every quarter of a chunk and before it
// waits. Its lag is to the end as of the last Stats. Errors: ErrFault when the
// reader truncated its page.
func (r *Ring) ConsumerStats(slot int) (ConsumerStats, error) {
	return r.consumerStats(slot, r.seen.pos)
}

func (r *Ring) consumerStats(slot int, end uint64) (c ConsumerStats, err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	entry := consumerEntry(slot)
	c.Generation = load32(r.b, entry+csGeneration)
	c.Policy = Policy(load32(r.b, entry+csPolicy))
	if c.Policy == 0 && r.m.cursors[slot] == nil {
		return c, nil // never lent: no page to map
	}
	page, err := r.page(slot)
	if err != nil {
		return ConsumerStats{}, err
	}
	c.Demoted = c.Generation != 0 && load64(r.b, entry+csDemoted) == uint64(c.Generation)
	c.Position = load64(page, cuPosition)
	c.Sequence = load64(page, cuSequence)
	c.Delivered = load64(page, cuDelivered)
	c.MissedRecords = load64(page, cuMissed)
	c.MissedBytes = load64(page, cuMissedBytes)
	c.GapRecords = load64(page, cuGaps)
	c.ChecksumErrors = load64(page, cuChecksum)
	if c.Position <= end { // a forged one has no lag
		c.LagBytes = end - c.Position
	}
	gate := load64(page, cuGate)
	c.Gating = !c.Demoted && (c.Policy == PolicyBlock || c.Policy == PolicyDemote) && gate <= max(end, load64(r.b, offAnnounce))
	return c, nil
}

// OpenClaim is what one of many producers has claimed and not committed yet.
// Readers wait at its position, and producers before they would lap it.
type OpenClaim struct {
	Slot     int
	Position uint64
}

// OpenClaims lists the claims that are open at this moment. Error: ErrFault.
func (r *Ring) OpenClaims() (claims []OpenClaim, err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	if !r.config.Many {
		return nil, nil
	}
	for mask := load64(r.b, offLentMask); mask != 0; mask &= mask - 1 {
		slot := bits.TrailingZeros64(mask)
		c, ok := r.intentOf(slot)
		if ok && c.pos+r.capacity >= load64(r.b, offAnnounce) && r.isOpen(c) {
			claims = append(claims, OpenClaim{Slot: slot, Position: c.pos})
		}
	}
	return claims, nil
}
