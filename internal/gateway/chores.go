package gateway

import (
	"slices"
	"time"
)

// sweepInterval is how often the gateway looks after what nothing tells it of:
// attachments that an administrator has ended while nobody published, mirrors
// that were removed, readers that wait for a peer.
const sweepInterval = time.Second

// hurry has chores looked at soon: something is due, or to be watched from now on.
func (g *Gateway) hurry() { g.loop.schedule(&g.clock, g.loop.now()) }

// chores does what is due by the clock and has no socket of its own, and sets the
// clock for what is due next. The loop calls it, with the lock held.
func (g *Gateway) chores(now int64) {
	if g.ending {
		return
	}
	if now >= g.sweepAt {
		g.sweep(now)
		g.sweepAt = now + sweepInterval.Nanoseconds()
	}
	next := int64(never)
	for _, p := range g.peers {
		next = min(next, p.chores(now))
	}
	if g.hasSomethingToWatch() {
		next = min(next, g.sweepAt)
	}
	g.loop.schedule(&g.clock, next)
}

// hasSomethingToWatch says whether there is anything to sweep: a gateway without
// is not woken.
func (g *Gateway) hasSomethingToWatch() bool {
	if len(g.parked) > 0 || len(g.publishers) > 0 || slices.ContainsFunc(g.feeds, (*feed).attached) {
		return true
	}
	for _, r := range g.refusals {
		if r.unlogged > 0 {
			return true
		}
	}
	for c := range g.conns {
		if len(c.exports) > 0 || len(c.mirrors) > 0 {
			return true
		}
	}
	return false
}

func (g *Gateway) sweep(now int64) {
	g.sweepParked()
	g.sweepPublishers(now)
	for _, f := range g.feeds {
		f.sweep()
	}
	g.logRefusals(now)
	for c := range g.conns {
		for _, m := range c.mirrors {
			m.look()
			m.logGaps()
		}
		for _, x := range c.exports {
			x.logGaps()
		}
		if len(c.exports)+len(c.mirrors) > 0 {
			c.pump() // a source whose attachment was ended says so when it is asked
		}
	}
}
