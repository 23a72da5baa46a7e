package daemon

import (
	"fmt"

	"brokerd/internal/metrics"
	"brokerd/internal/wire"
)

// snapshot reads everything that a scrape shows.
func (d *daemon) snapshot() (metrics.Snapshot, error) {
	stats, err := d.broker.Stats("")
	if err != nil {
		return metrics.Snapshot{}, fmt.Errorf("read the rings: %w", err)
	}
	status := d.broker.Status()
	state, _ := d.phase.get()
	s := metrics.Snapshot{
		Ready:          state == wire.DaemonReady,
		MemoryBytes:    status.MemoryBytes,
		MemoryBytesMax: status.MemoryBytesMax,
		RingsMax:       status.RingsMax,
		AttachmentsMax: status.AttachmentsMax,
		ConnectionsMax: d.cfg.Limits.Connections,
		Adoptions:      uint64(status.Adopted),
		Repairs:        uint64(status.Repairs),
		Quarantined:    len(status.Quarantined),
		Problems:       len(status.Problems),
	}
	if server := d.control.Load(); server != nil {
		s.Connections = server.Connections()
	}
	for _, r := range stats.Rings {
		s.Rings = append(s.Rings, ringSnapshot(r))
	}
	for _, a := range stats.Attachments {
		s.Attachments = append(s.Attachments, attachmentSnapshot(a))
	}
	return s, nil
}

func ringSnapshot(r wire.RingStats) metrics.Ring {
	return metrics.Ring{
		Name:             r.Name,
		Live:             r.State == wire.StateLive,
		PublishedRecords: r.Sequence,
		PublishedBytes:   r.Position,
		CapacityBytes:    r.Capacity,
		OccupancyBytes:   r.OccupancyBytes,
		Producers:        r.Producers,
		Consumers:        r.Consumers,
		GapRecords:       r.GapRecords,
		HeldNanos:        r.HeldNS,
		DroppedRecords:   r.DroppedRecords,
		Demotions:        r.Demotions,
	}
}

func attachmentSnapshot(a wire.Attachment) metrics.Attachment {
	return metrics.Attachment{
		Ring:          a.Ring,
		Name:          a.Name,
		Role:          string(a.Role),
		Slot:          a.Slot,
		PositionBytes: a.Position,
		LagBytes:      a.LagBytes,
		MissedRecords: a.MissedRecords,
		MissedBytes:   a.MissedBytes,
		Demoted:       a.Demoted,
	}
}
