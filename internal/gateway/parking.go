package gateway

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/wire"
)

// A parked export is the reader of a mirror whose peer is away. It goes on
// holding the ring, as its policy has it, until the peer is back and a new reader
// stands where it stood; so an outage that the ring can bear loses nothing.

// park is what becomes of an export when its connection is gone.
func (g *Gateway) park(x *export, cause error) {
	if status, ok := x.conn.status(x.stream); ok {
		x.acked = status.Acked
		x.gaps += status.Gaps
		x.gapRecords += status.GapRecords
	}
	x.traffic.add(x.conn.trafficOf(x.stream))
	x.conn = nil
	if g.ending || !g.worthParking(x) {
		g.release(x, cause.Error())
		return
	}
	if x.door != nil {
		x.door.forget(x)
	}
	x.since, x.reason = time.Now(), cause.Error()
	g.parked = append(g.parked, x)
	g.log.Warn("a mirror is away: its reader goes on holding the ring", append(x.fields(),
		zap.String("policy", string(x.policy)), zap.String("reason", x.reason))...)
}

// worthParking says whether the reader holds the ring for a peer that is to come
// back and is not back already.
func (g *Gateway) worthParking(x *export) bool {
	if x.mode != wire.LinkMirror || x.reader.Demoted() || x.policy != wire.PolicyDemote && x.policy != wire.PolicyBlock {
		return false
	}
	if _, listed := g.settings.peer(x.who.name); !listed || g.settings.mayRead(x.who, x.ring.Name, x.policy) != nil {
		return false
	}
	for c := range g.conns {
		for _, other := range c.exports {
			if other.mode == x.mode && other.who.name == x.who.name && other.ring.Name == x.ring.Name {
				return false
			}
		}
	}
	return true
}

// takeParked finds the reader that waits for a peer, nil when there is none, and
// leaves it to the caller to release.
func (g *Gateway) takeParked(who identity, ring string) *export {
	i := slices.IndexFunc(g.parked, func(x *export) bool { return x.who.name == who.name && x.ring.Name == ring })
	if i < 0 {
		return nil
	}
	x := g.parked[i]
	g.parked = slices.Delete(g.parked, i, i+1)
	return x
}

// unpark gives up waiting.
func (g *Gateway) unpark(x *export, why string) {
	g.parked = slices.DeleteFunc(g.parked, func(o *export) bool { return o == x })
	g.release(x, why)
}

// sweepParked gives up readers that hold nothing any more: demoted, ended by an
// administrator, or of a ring that is gone.
func (g *Gateway) sweepParked() {
	for _, x := range slices.Clone(g.parked) {
		if a, ok := g.attachment(x.ring.Name, x.id); !ok || a.State != wire.StateAttached {
			g.unpark(x, "its attachment was ended")
		} else if a.Demoted {
			g.unpark(x, "it has held the producers for too long and was demoted")
		}
	}
}

// attachment finds one of ours. ok is false when it is gone.
func (g *Gateway) attachment(ring, id string) (wire.Attachment, bool) {
	list, err := g.broker.Attachments(ring)
	if err != nil {
		return wire.Attachment{}, false
	}
	i := slices.IndexFunc(list, func(a wire.Attachment) bool { return a.ID == id })
	if i < 0 {
		return wire.Attachment{}, false
	}
	return list[i], true
}
