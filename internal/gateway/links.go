package gateway

import (
	"cmp"
	"slices"

	"brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// moved is what a stream has moved, in bytes of its data frames.
type moved struct{ in, out uint64 }

func (t *moved) add(o moved) {
	t.in += o.in
	t.out += o.out
}

// status is how a stream is doing; ok is false when it does not flow.
func (c *conn) status(stream uint16) (s link.StreamStatus, ok bool) {
	all := c.link.Streams()
	i := slices.IndexFunc(all, func(s link.StreamStatus) bool { return s.Stream == stream })
	if i < 0 {
		return s, false
	}
	return all[i], true
}

// movedBy is what a stream has moved so far.
func movedBy(s link.StreamStatus) moved {
	if s.Sends {
		return moved{out: s.Bytes}
	}
	return moved{in: s.Bytes}
}

// Links tells how every link is, mirrors first, and whom the gateway refused.
func (g *Gateway) Links() wire.ListLinksOut {
	g.loop.mu.Lock()
	defer g.loop.mu.Unlock()
	out := wire.ListLinksOut{Refusals: g.listRefusals(), Certificates: g.listCertificates()}
	if g.listener != nil {
		out.Listen = g.listener.addr()
	}
	for _, p := range g.peers {
		for _, m := range p.mirrors {
			out.Links = append(out.Links, m.link())
		}
	}
	newest := map[string]shmring.Boundary{}
	for c := range g.conns {
		for _, x := range c.exports {
			out.Links = append(out.Links, x.link(g.newest(x.ring, newest)))
		}
	}
	for _, x := range g.parked {
		out.Links = append(out.Links, x.link(g.newest(x.ring, newest)))
	}
	for _, p := range g.publishers {
		out.Links = append(out.Links, p.link())
	}
	for _, f := range g.feeds {
		out.Feeds = append(out.Feeds, f.status())
	}
	order := []wire.LinkRole{wire.LinkRoleMirror, wire.LinkRoleExport, wire.LinkRoleReader, wire.LinkRoleProducer}
	slices.SortStableFunc(out.Links, func(a, b wire.Link) int {
		return cmp.Or(slices.Index(order, a.Role)-slices.Index(order, b.Role), cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Ring, b.Ring),
			cmp.Compare(a.Local, b.Local), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// newest is the end of a ring, looked up once for all who read it.
func (g *Gateway) newest(ring wire.Ring, known map[string]shmring.Boundary) shmring.Boundary {
	at, ok := known[ring.Name]
	if !ok {
		out, err := g.broker.Stats(ring.Name)
		if err == nil && len(out.Rings) == 1 && out.Rings[0].Epoch == ring.Epoch {
			at = shmring.Boundary{Position: out.Rings[0].Position, Sequence: out.Rings[0].Sequence}
		}
		known[ring.Name] = at
	}
	return at
}

// connected adds what a link shares with its connection.
func (c *conn) connected(l wire.Link) wire.Link {
	l.TLS = c.tls
	l.RTTNS = c.link.Status().RTT.Nanoseconds()
	return l
}

// lag is between where a link is and the newest record.
type lag struct{ at, newest shmring.Boundary }

func (l *lag) of(w *wire.Link) {
	if l.newest.Position > l.at.Position {
		w.LagBytes = l.newest.Position - l.at.Position
	}
	if l.newest.Sequence > l.at.Sequence {
		w.LagRecords = l.newest.Sequence - l.at.Sequence
	}
	w.Position, w.Sequence = l.at.Position, l.at.Sequence
}

func (m *mirror) link() wire.Link {
	p := m.peer
	l := wire.Link{
		Peer: p.want.Name, Role: wire.LinkRoleMirror, Ring: m.want.Ring, Local: m.want.As, Address: p.want.Address,
		State: p.state, Reason: p.reason, SinceNS: p.since.UnixNano(), TLS: p.files() != nil,
		Epoch: m.epoch, Reconnects: p.reconnects, Gaps: m.gaps, GapRecords: m.gapRecords, CRCErrors: m.crcErrors,
	}
	bytes := m.moved
	at := lag{m.end, m.announced}
	if c := p.conn; c != nil && c.ready {
		l = c.connected(l)
		l.State, l.Reason, l.SinceNS = m.state, m.reason, m.since.UnixNano()
		if l.State == wire.LinkConnected && m.phase != phaseRunning {
			l.State = wire.LinkConnecting // not yet on this connection
		}
		if m.phase == phaseRunning {
			s, _ := c.status(m.stream)
			at = lag{s.Received, s.Announced}
			bytes.add(movedBy(s))
		}
	}
	at.of(&l)
	l.BytesIn, l.BytesOut = bytes.in, bytes.out
	return l
}

func (x *export) link(newest shmring.Boundary) wire.Link {
	l := wire.Link{
		Peer: x.who.name, Role: wire.LinkRoleExport, Ring: x.ring.Name, Local: x.ring.Name, Address: x.remote, TLS: x.tls,
		State: wire.LinkConnected, Reason: x.reason, SinceNS: x.since.UnixNano(), Epoch: x.ring.Epoch,
		Reconnects: x.reconnects, Gaps: x.gaps, GapRecords: x.gapRecords, CRCErrors: x.crcErrors, Label: x.label, ID: x.id,
	}
	if x.mode == wire.LinkRead {
		l.Role = wire.LinkRoleReader
	}
	bytes, acked := x.moved, x.acked
	if x.conn == nil {
		l.State = wire.LinkWaiting
	} else {
		l = x.conn.connected(l)
		s, _ := x.conn.status(x.stream)
		acked = s.Acked
		l.Gaps += s.Gaps
		l.GapRecords += s.GapRecords
		bytes.add(movedBy(s))
	}
	at := lag{acked, newest}
	at.of(&l)
	l.BytesIn, l.BytesOut = bytes.in, bytes.out
	return l
}

func (p *publisher) link() wire.Link {
	l := wire.Link{
		Peer: p.key.who, Role: wire.LinkRoleProducer, Ring: p.ring.Name, Local: p.ring.Name, Address: p.remote,
		State: wire.LinkConnected, TLS: p.tls, SinceNS: p.since.UnixNano(), Epoch: p.ring.Epoch,
		Reconnects: p.reconnects, Label: p.key.label, ID: p.id,
	}
	if p.conn == nil {
		l.State, l.Reason = wire.LinkWaiting, "its connection is gone; it may come back within "+publisherParkMax.String()
	} else {
		l = p.conn.connected(l)
	}
	at := lag{p.published, p.received}
	at.of(&l)
	l.BytesIn, l.BytesOut = p.moved.in, p.moved.out
	return l
}
