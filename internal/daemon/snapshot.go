package daemon

import (
	"fmt"
	"os"

	"brokerd/internal/config"
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
	cfg := d.cfg.Load()
	s := metrics.Snapshot{
		Ready:            state == wire.DaemonReady,
		MemoryBytes:      status.MemoryBytes,
		MemoryBytesMax:   status.MemoryBytesMax,
		RingsMax:         status.RingsMax,
		AttachmentsMax:   status.AttachmentsMax,
		ConnectionsMax:   cfg.Limits.Connections,
		Adoptions:        uint64(status.Adopted),
		Repairs:          status.Repairs,
		Quarantined:      len(status.Quarantined),
		QuarantinedBytes: status.QuarantinedBytes,
		Retired:          status.Retired,
		Problems:         len(status.Problems) + len(d.gatewayProblems()),
	}
	s.ReloadsOK, s.ReloadsFailed, s.LastReloadNanos = d.reloads.counts()
	s.Refused = d.broker.Refusals()
	var connections map[uint32]int
	if server := d.control.Load(); server != nil {
		s.Connections = server.Connections()
		connections = server.ConnectionsByUID()
		for limit, n := range server.Refusals() {
			s.Refused[limit] += n
		}
	}
	for _, r := range stats.Rings {
		s.Rings = append(s.Rings, ringSnapshot(r))
	}
	for _, a := range stats.Attachments {
		s.Attachments = append(s.Attachments, attachmentSnapshot(a))
	}
	addLinks(&s, d.links())
	s.Users = userSnapshots(d.broker.Rings(), stats.Attachments, connections, uint32(os.Geteuid()), cfg.Limits.PerUID)
	return s, nil
}

// userSnapshots adds up what each user has. Quotas bind neither root nor the
// daemon's own user.
func userSnapshots(rings []wire.Ring, attachments []wire.Attachment, connections map[uint32]int, own uint32, quota config.PerUID) []metrics.User {
	users := map[uint32]*metrics.User{}
	of := func(uid uint32) *metrics.User {
		u := users[uid]
		if u == nil {
			u = &metrics.User{UID: uid}
			if uid != 0 && uid != own {
				u.MemoryBytesMax, u.AttachmentsMax, u.ConnectionsMax = uint64(quota.Memory), quota.Attachments, quota.Connections
			}
			users[uid] = u
		}
		return u
	}
	for _, r := range rings {
		of(r.Owner).MemoryBytes += r.MemoryBytes
	}
	for _, a := range attachments {
		of(a.UID).Attachments++
	}
	for uid, n := range connections {
		of(uid).Connections = n
	}
	var list []metrics.User
	for _, u := range users {
		list = append(list, *u)
	}
	return list
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
		Ring:           a.Ring,
		Name:           a.Name,
		Role:           string(a.Role),
		Slot:           a.Slot,
		State:          string(a.State),
		PositionBytes:  a.Position,
		LagBytes:       a.LagBytes,
		MissedRecords:  a.MissedRecords,
		MissedBytes:    a.MissedBytes,
		ChecksumErrors: a.ChecksumErrors,
		Demoted:        a.Demoted,
	}
}
