package broker

import (
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// Rings lists all rings by name.
func (b *Broker) Rings() []wire.Ring {
	b.mu.Lock()
	defer b.unlock()
	rings := make([]wire.Ring, 0, len(b.rings))
	for _, name := range b.names() {
		rings = append(rings, b.rings[name].describe())
	}
	return rings
}

// DescribeRing tells all about one ring. Error: wire.ErrRingNotFound.
func (b *Broker) DescribeRing(name string) (wire.DescribeRingOut, error) {
	b.mu.Lock()
	defer b.unlock()
	r, err := b.ringNamed(name)
	if err != nil {
		return wire.DescribeRingOut{}, err
	}
	stats, attachments := b.measure(r)
	return wire.DescribeRingOut{
		Ring: r.describe(), Stats: stats, Attachments: attachments,
		Problems: append(r.problems(), b.stuckClaims(r)...),
	}, nil
}

// Attachments lists what one ring ("": every ring) has lent, by ring, role and
// slot. Error: wire.ErrRingNotFound.
func (b *Broker) Attachments(ring string) ([]wire.Attachment, error) {
	out, err := b.Stats(ring)
	return out.Attachments, err
}

// Stats measures one ring ("": every ring) and its attachments. Error:
// wire.ErrRingNotFound.
func (b *Broker) Stats(ring string) (wire.StatsOut, error) {
	b.mu.Lock()
	defer b.unlock()
	names := []string{ring}
	if ring == "" {
		names = b.names()
	}
	out := wire.StatsOut{TimeNS: b.now().UnixNano()}
	for _, name := range names {
		r, err := b.ringNamed(name)
		if err != nil {
			return wire.StatsOut{}, err
		}
		stats, attachments := b.measure(r)
		out.Rings = append(out.Rings, stats)
		out.Attachments = append(out.Attachments, attachments...)
	}
	return out, nil
}

// measure reads a ring's figures. A ring that gives none is retired, and shows
// as corrupt, with those that were read last.
func (b *Broker) measure(r *ring) (wire.RingStats, []wire.Attachment) {
	stats := b.readStats(r)
	out := wire.RingStats{
		Name:           r.info.Name,
		Epoch:          r.info.Epoch,
		State:          wire.StateLive,
		Position:       stats.Position,
		Sequence:       stats.Sequence,
		Capacity:       r.info.Capacity,
		OccupancyBytes: stats.OccupancyBytes,
		Producers:      r.honoured(wire.RoleProducer),
		Consumers:      r.honoured(wire.RoleConsumer),
		GapRecords:     stats.GapRecords,
		HeldNS:         stats.HeldNanos,
		DroppedRecords: stats.DroppedRecords,
		Demotions:      stats.Demotions,
	}
	if r.retired != nil {
		out.State = wire.StateCorrupt
	}
	attachments := []wire.Attachment{}
	for _, a := range r.ordered() {
		attachments = append(attachments, b.measured(a, stats))
	}
	return out, attachments
}

func (b *Broker) readStats(r *ring) shmring.Stats {
	if r.retired != nil {
		return r.last
	}
	stats, err := r.mem.Stats()
	if err != nil {
		b.retire(r, err)
		return r.last
	}
	r.last = stats
	return stats
}

// measureOne is an attachment with its figures.
func (b *Broker) measureOne(a *attachment) wire.Attachment {
	return b.measured(a, b.readStats(a.ring))
}

// measured reads the figures of an attachment that the ring honours; any other
// keeps those that were read last.
func (b *Broker) measured(a *attachment, ring shmring.Stats) wire.Attachment {
	switch {
	case a.ring.retired != nil || a.hold == holdZombie:
	case a.ref.role == wire.RoleProducer:
		a.last.Position, a.last.Sequence = ring.Position, ring.Sequence
	default:
		b.lookAtReader(a)
	}
	out := a.describe()
	out.Position = a.last.Position
	out.Sequence = a.last.Sequence
	out.LagBytes = a.last.LagBytes
	out.MissedRecords = a.last.MissedRecords
	out.MissedBytes = a.last.MissedBytes
	out.GapRecords = a.last.GapRecords
	out.ChecksumErrors = a.last.ChecksumErrors
	out.Demoted = a.last.Demoted
	return out
}

// describe is an attachment without figures.
func (a *attachment) describe() wire.Attachment {
	out := wire.Attachment{
		ID:           a.id,
		Ring:         a.ring.info.Name,
		Epoch:        a.ring.info.Epoch,
		Role:         a.ref.role,
		Slot:         a.ref.slot,
		Generation:   a.record.Generation,
		Name:         a.record.Name,
		PID:          a.record.PID,
		UID:          a.record.UID,
		State:        a.hold.state(),
		Policy:       a.record.Policy,
		WaitStrategy: a.record.Wait,
		SinceNS:      a.record.SinceNanos,
	}
	switch a.hold {
	case holdResumable:
		out.ResumeUntilNS = a.until.UnixNano()
	case holdZombie:
		out.EndedReason = a.ended
	}
	return out
}
