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

// Reasons for which connections are refused before they have said who they are; the
// others are the words of wire.LinkCode.
const (
	reasonNoCertificate = "no_certificate"
	reasonAuthority     = "unknown_authority"
	reasonExpired       = "expired" // or not valid yet
	reasonName          = "wrong_name"
	reasonByPeer        = "refused_by_peer" // it does not take our certificate
	reasonNotTLS        = "not_tls"         // on a port with TLS
	reasonTimeout       = "timeout"
	reasonCrowded       = "crowded"   // went for another one
	reasonHandshake     = "handshake" // anything else: the sentence says what
)

// refusalCount is what there was of them for one reason.
type refusalCount struct {
	count    uint64
	lastNS   int64
	last     string
	logged   bool
	loggedAt int64 // by the loop's clock
	unlogged uint64
}

// refused counts and logs that something was not done for others. reason is a
// word with few values, remote their address.
func (g *Gateway) refused(reason, name, remote string, err error) {
	r := g.countRefusal(reason, name, remote, err)
	if now := g.loop.now(); !r.logged || now-r.loggedAt >= refusalQuietMax.Nanoseconds() {
		r.logged, r.loggedAt = true, now
		g.log.Warn("refused", zap.String("reason", reason), zap.String("peer", name), zap.String("address", remote), zap.Error(err))
		return
	}
	if r.unlogged++; r.unlogged == 1 {
		g.hurry()
	}
}

// countRefusal is refused for what is logged elsewhere.
func (g *Gateway) countRefusal(reason, name, remote string, err error) *refusalCount {
	r := g.refusals[reason]
	if r == nil {
		r = &refusalCount{}
		g.refusals[reason] = r
	}
	r.count++
	r.lastNS = time.Now().UnixNano()
	r.last = remote + ": " + err.Error()
	if name != "" {
		r.last = name + " at " + r.last
	}
	return r
}

// refusedHandshake is for a connection that did not come as far as to be known.
func (g *Gateway) refusedHandshake(remote string, cause error) {
	var byPeer *closedByPeer
	if errors.Is(cause, errStopping) || errors.As(cause, &byPeer) { // it has refused us
		return
	}
	g.refused(reasonOf(cause), "", remote, cause)
}

// reasonOf is the word for why a connection was refused.
func reasonOf(cause error) string {
	var fault *link.Error
	var own *denial
	var shake *handshakeError
	switch {
	case errors.As(cause, &own):
		return own.code.String()
	case errors.As(cause, &fault):
		return fault.Code.String()
	case errors.As(cause, &shake):
		return shake.reason
	case errors.Is(cause, errNotTLS):
		return reasonNotTLS
	case errors.Is(cause, errSlow):
		return reasonTimeout
	case errors.Is(cause, errCrowded):
		return reasonCrowded
	}
	return reasonHandshake
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
