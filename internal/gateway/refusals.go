package gateway

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/link"
	"brokerd/internal/wire"
)

// refusalQuietMax is how long refusals for a reason that has been logged are only
// counted: a flood of them must not flood the log.
const refusalQuietMax = 10 * time.Second

// refusalCount is what there was of them for one reason.
type refusalCount struct {
	count    uint64
	lastNS   int64
	last     string
	loggedAt int64 // by the loop's clock
	unlogged uint64
}

// refused counts and logs that something was not done for others. reason is a
// word with few values, remote their address.
func (g *Gateway) refused(reason, name, remote string, err error) {
	r, known := g.refusals[reason]
	if !known {
		r = &refusalCount{}
		g.refusals[reason] = r
	}
	r.count++
	r.lastNS = time.Now().UnixNano()
	r.last = remote + ": " + err.Error()
	if name != "" {
		r.last = name + " at " + r.last
	}
	if now := g.loop.now(); !known || now-r.loggedAt >= refusalQuietMax.Nanoseconds() {
		r.loggedAt = now
		g.log.Warn("refused", zap.String("reason", reason), zap.String("peer", name), zap.String("address", remote), zap.Error(err))
		return
	}
	if r.unlogged++; r.unlogged == 1 {
		g.hurry()
	}
}

// refusedHandshake is for a connection that did not come as far as to be known.
func (g *Gateway) refusedHandshake(remote string, cause error) {
	reason := "handshake"
	var fault *link.Error
	var own *denial
	var byPeer *closedByPeer
	switch {
	case errors.Is(cause, errStopping):
		return
	case errors.As(cause, &own):
		reason = own.code.String()
	case errors.As(cause, &fault):
		reason = fault.Code.String()
	case errors.As(cause, &byPeer):
		return // it has refused us
	}
	g.refused(reason, "", remote, cause)
}

// logRefusals tells how many more there were since the last line about each
// reason.
func (g *Gateway) logRefusals(now int64) {
	for reason, r := range g.refusals {
		if r.unlogged == 0 || now-r.loggedAt < refusalQuietMax.Nanoseconds() {
			continue
		}
		g.log.Warn("refused more for the same reason", zap.String("reason", reason), zap.Uint64("count", r.unlogged), zap.String("last", r.last))
		r.loggedAt, r.unlogged = now, 0
	}
}

// listRefusals is what a snapshot has of them, by reason.
func (g *Gateway) listRefusals() (list []wire.LinkRefusal) {
	for reason, r := range g.refusals {
		list = append(list, wire.LinkRefusal{Reason: reason, Count: r.count, LastNS: r.lastNS, Last: r.last})
	}
	slices.SortFunc(list, func(a, b wire.LinkRefusal) int { return cmp.Compare(a.Reason, b.Reason) })
	return list
}
