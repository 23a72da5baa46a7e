package gateway

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// A parked export is the reader of a mirror whose peer is away. It goes on holding
// the ring, as its policy has it, until the peer is back, and then goes on from
// where the mirror ends; so an outage that the ring can bear loses nothing. (A new
// reader could not start there for sure: shmring.Consumer.Rewind.)

// park is what becomes of an export when its connection is gone.
func (g *Gateway) park(x *export, cause error) {
	x.logGaps()
	var byPeer *closedByPeer
	if errors.As(cause, &byPeer) && byPeer.Code == wire.CodeChecksum {
		x.crcErrors++
	}
	if status, ok := x.conn.status(x.stream); ok {
		x.acked = status.Acked
		x.gaps += status.Gaps
		x.gapRecords += status.GapRecords
		x.moved.add(movedBy(status))
	}
	x.conn, x.gapsLogged, x.gapRecordsLogged = nil, 0, 0
	if g.ending || !g.worthParking(x) {
		g.release(x, cause.Error())
		return
	}
	x.watch.leave()
	x.since, x.reason = time.Now(), cause.Error()
	g.parked = append(g.parked, x)
	g.hurry()
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

// resumeParked lets the reader that waits for a peer go on from what the peer
// holds. It returns nil where there is none, or where it cannot.
func (g *Gateway) resumeParked(who identity, o wire.LinkOpenFrame) *export {
	if o.Mode != wire.LinkMirror || o.From != wire.LinkFromHeld {
		return nil
	}
	i := slices.IndexFunc(g.parked, func(x *export) bool {
		return x.who.name == who.name && x.ring.Name == o.Ring && x.ring.Epoch == o.Epoch && x.policy == policyOf(o, x.ring)
	})
	if i < 0 || g.settings.mayRead(who, o.Ring, g.parked[i].policy) != nil {
		return nil
	}
	x := g.parked[i]
	if x.reader.Rewind(shmring.Boundary{Position: o.Position, Sequence: o.Sequence}) != nil {
		return nil // demoted, ended, or of a ring that is gone: a new reader finds out what there is
	}
	g.parked = slices.Delete(g.parked, i, i+1)
	x.who = who
	x.reconnects++
	return x
}

// supersedeMirror closes another connection over which the same peer mirrors the
// same ring: it was started again, and its former connection is not found to be
// dead yet. One that is heard of is no former one but that of another host with the
// same name, and stays: else the two would take the ring from each other for ever.
func (c *conn) supersedeMirror(ring string) error {
	for other := range c.g.conns {
		if other == c || other.session == c.session || other.who.name != c.who.name || !other.mirrorsTo(ring) {
			continue
		}
		if other.alive() {
			return &denial{wire.CodeBusy, fmt.Sprintf("ring %s is mirrored already by a host at %s that is called %s, too: each host needs a gateway.name and a certificate of its own",
				ring, other.sock.remote(), c.who.name)}
		}
		other.close(wire.CodeGoodbye, errSuperseded)
	}
	return nil
}

// alive says whether the other side was heard of a moment ago. A peer that is there
// sends a beat in a third of the time.
func (c *conn) alive() bool {
	return c.g.loop.now()-c.link.Status().Heard < c.g.settings.DeadAfter.Nanoseconds()/2
}

// mirrorsTo says whether a ring of ours is mirrored over the connection.
func (c *conn) mirrorsTo(ring string) bool {
	for _, x := range c.exports {
		if x.mode == wire.LinkMirror && x.ring.Name == ring {
			return true
		}
	}
	return false
}

// takeParked finds the reader of a ring that waits for a peer, nil when there is
// none, and leaves it to the caller to release.
func (g *Gateway) takeParked(who identity, mode wire.LinkMode, ring string) *export {
	i := slices.IndexFunc(g.parked, func(p *export) bool {
		return p.mode == mode && p.who.name == who.name && p.ring.Name == ring
	})
	if i < 0 {
		return nil
	}
	p := g.parked[i]
	g.parked = slices.Delete(g.parked, i, i+1)
	return p
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
		if a, ok := g.attachment(x.place); !ok || a.State != wire.StateAttached {
			g.unpark(x, "its attachment was ended")
		} else if a.Demoted {
			g.unpark(x, "it has held the producers for too long and was demoted")
		}
	}
}
