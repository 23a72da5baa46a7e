package daemon

import (
	"brokerd/internal/metrics"
	"brokerd/internal/wire"
)

// addLinks puts what the gateway tells into s. Links that mirror are shown one by
// one; those of remote clients, of whom there may be thousands, are counted.
func addLinks(s *metrics.Snapshot, links wire.ListLinksOut) {
	type key struct{ peer, role, ring, origin string }
	shown := map[key]int{} // index into s.Links
	clients := map[metrics.RemoteClients]int{}
	for _, l := range links.Links {
		if l.Role != wire.LinkRoleMirror && l.Role != wire.LinkRoleExport {
			clients[metrics.RemoteClients{Ring: l.Local, Role: string(l.Role)}]++
			continue
		}
		m := linkSnapshot(l)
		k := key{m.Peer, m.Role, m.Ring, m.Origin}
		if at, twice := shown[k]; twice { // a peer that mirrors one ring under two names
			s.Links[at] = sumOf(s.Links[at], m)
			continue
		}
		shown[k] = len(s.Links)
		s.Links = append(s.Links, m)
	}
	for c, n := range clients {
		c.Count = n
		s.RemoteClients = append(s.RemoteClients, c)
	}
	for _, r := range links.Refusals {
		s.Refusals = append(s.Refusals, metrics.Refusal{Reason: r.Reason, Count: r.Count})
	}
	for _, c := range links.Certificates {
		s.Certificates = append(s.Certificates, metrics.Certificate{File: c.File, NotAfterNanos: c.NotAfterNS})
	}
	for _, f := range links.Feeds {
		s.Feeds = append(s.Feeds, metrics.Feed{
			Name:        f.Name,
			Ring:        f.Ring,
			Direction:   f.Direction,
			State:       f.State,
			SinceNanos:  f.SinceNS,
			Connections: f.Connections,
			Frames:      f.Frames,
			Bytes:       f.Bytes,
			BadFrames:   f.BadFrames,
			Reconnects:  f.Reconnects,
			Dropped:     f.Dropped,
		})
	}
}

func linkSnapshot(l wire.Link) metrics.Link {
	return metrics.Link{
		Peer:          l.Peer,
		Role:          string(l.Role),
		Ring:          l.Local,
		Origin:        l.Ring,
		State:         string(l.State),
		SinceNanos:    l.SinceNS,
		PositionBytes: l.Position,
		LagBytes:      l.LagBytes,
		LagRecords:    l.LagRecords,
		RTTNanos:      l.RTTNS,
		Reconnects:    l.Reconnects,
		Gaps:          l.Gaps,
		GapRecords:    l.GapRecords,
		BytesIn:       l.BytesIn,
		BytesOut:      l.BytesOut,
		CRCErrors:     l.CRCErrors,
	}
}

// sumOf makes one series of two links: what they have done together, and the
// worse of how they are.
func sumOf(a, b metrics.Link) metrics.Link {
	worse, other := a, b
	connected := string(wire.LinkConnected)
	if b.State != connected && (a.State == connected || b.SinceNanos < a.SinceNanos) {
		worse, other = b, a
	}
	worse.PositionBytes = min(a.PositionBytes, b.PositionBytes)
	worse.LagBytes = max(a.LagBytes, b.LagBytes)
	worse.LagRecords = max(a.LagRecords, b.LagRecords)
	worse.RTTNanos = max(a.RTTNanos, b.RTTNanos)
	worse.Reconnects += other.Reconnects
	worse.Gaps += other.Gaps
	worse.GapRecords += other.GapRecords
	worse.BytesIn += other.BytesIn
	worse.BytesOut += other.BytesOut
	worse.CRCErrors += other.CRCErrors
	return worse
}
