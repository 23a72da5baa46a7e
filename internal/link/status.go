package link

import (
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// Status is how a connection is doing.
type Status struct {
	Ready             bool // streams may flow
	PeerName, Agent   string
	RTT               time.Duration // by the last beat; 0 while there was none
	BytesIn, BytesOut uint64
	Heard             int64 // when something was received last, as now
}

// Status of the connection.
func (c *Conn) Status() Status {
	return Status{
		Ready: c.phase == phaseReady, PeerName: c.peer.name, Agent: c.peer.agent,
		RTT: c.beats.rtt, BytesIn: c.in.bytes, BytesOut: c.out.sent, Heard: c.beats.heard,
	}
}

// StreamStatus is how a stream that flows is doing. At the sender Sent is what
// went out and Acked what the peer keeps; at the receiver Received is what was
// committed, Acked what was told of, and Announced what the peer has, by its last
// beat or by what came. Limit is how far may be sent, Bytes the ring bytes that
// were. Dry: the sender waits for its ring and not for credit or the socket.
type StreamStatus struct {
	Stream                           uint16
	Mode                             wire.LinkMode
	Sends                            bool
	Epoch                            uint64
	Sent, Received, Acked, Announced shmring.Boundary
	Limit                            uint64
	Dry                              bool
	Bytes, Gaps, GapRecords          uint64
}

// Streams lists the streams that flow, in the order of their opening; those that
// did when the connection ended, once it has.
func (c *Conn) Streams() []StreamStatus {
	if c.phase == phaseOver {
		return c.last
	}
	var all []StreamStatus
	for _, s := range c.streams {
		if s.stage != stageFlows {
			continue
		}
		all = append(all, s.status())
	}
	return all
}

// status is how a stream is doing that flows, or did until now.
func (s *stream) status() StreamStatus {
	status := StreamStatus{Stream: s.number, Mode: s.open.Mode, Epoch: s.epoch, Sends: s.tx != nil}
	if t := s.tx; t != nil {
		status.Sent, status.Acked, status.Announced, status.Limit = t.flushed, t.acked, t.sent, t.limit
		status.Dry, status.Bytes, status.Gaps, status.GapRecords = t.dry, t.bytes, t.gaps, t.gapRecords
	}
	if r := s.rx; r != nil {
		status.Received, status.Acked, status.Announced, status.Limit = r.next, r.acked, r.next, r.limit
		if s.announced.Position > r.next.Position {
			status.Announced = s.announced
		}
		status.Bytes, status.Gaps, status.GapRecords = r.bytes, r.gaps, r.gapRecords
	}
	return status
}
