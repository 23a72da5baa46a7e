package gateway

import (
	"errors"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/link"
	"brokerd/internal/wire"
)

// Bounds of the pause before a peer is dialled again: it doubles with each
// attempt, and jitters so that the peers of a host that was away do not come
// back all at once.
const (
	redialMin    = 50 * time.Millisecond
	redialMax    = 5 * time.Second
	redialJitter = 0.2 // of the pause, up or down
)

// redialPause is the pause before the next attempt, ns, and doubles it.
func redialPause(pause *time.Duration) int64 {
	jitter := 1 + redialJitter*(2*rand.Float64()-1)
	now := int64(float64(*pause) * jitter)
	*pause = min(2**pause, redialMax)
	return now
}

// peer is an entry of gateway.peers, and our connection to its address while
// there is anything to mirror from it.
type peer struct {
	g       *Gateway
	want    Peer
	mirrors []*mirror

	conn       *conn  // nil while there is none; may not be ready yet
	stopDial   func() // of the attempt that goes on; nil for none
	dialAt     int64
	pause      time.Duration // before the next attempt, without jitter
	reconnects uint64        // connections after the first
	known      bool          // there was a connection

	state  wire.LinkState
	reason string
	since  time.Time
}

func (g *Gateway) addPeer(want Peer) *peer {
	p := &peer{g: g, want: want, state: wire.LinkConnecting, since: time.Now(), pause: redialMin, dialAt: g.loop.now()}
	for _, m := range want.Mirror {
		p.mirrors = append(p.mirrors, newMirror(p, m))
	}
	g.peers = append(g.peers, p)
	return p
}

// chores does what is due for a peer, and says when that is so again.
func (p *peer) chores(now int64) (next int64) {
	if p.conn == nil && p.stopDial == nil {
		switch {
		case p.want.Address == "" || len(p.mirrors) == 0:
			return never
		case now < p.dialAt:
			return p.dialAt
		}
		if p.dial(); p.stopDial == nil {
			return p.dialAt
		}
	}
	next = never
	if p.conn != nil && p.conn.ready {
		for _, m := range p.mirrors {
			next = min(next, m.chores(now))
		}
	}
	return next
}

// files are those that a connection to the peer is secured with, nil for none.
func (p *peer) files() *TLS {
	switch {
	case p.want.TLSOff:
		return nil
	case p.want.TLS != nil:
		return p.want.TLS
	}
	return p.g.settings.TLS
}

func (p *peer) dial() {
	files := p.files()
	o := dialOptions{Address: p.want.Address, ServerName: p.want.Name, Timeout: p.g.settings.HandshakeTimeout}
	if files != nil {
		c, err := p.g.certsOf(*files)
		if err != nil { // they were good when the configuration was taken
			p.failed(err)
			return
		}
		o.Certs = c
	}
	o.Done = func(s *socket, err error) session {
		p.stopDial = nil
		if err != nil {
			p.failed(err)
			return nil
		}
		p.conn = p.g.newConn(s, p, files != nil)
		return p.conn
	}
	p.stopDial = func() {}
	p.stopDial = p.g.loop.dial(o)
}

func (p *peer) stopDialling() {
	if p.stopDial != nil {
		p.stopDial()
		p.stopDial = nil
	}
}

// welcomed is the other side's answer to who we are.
func (c *conn) welcomed(w wire.LinkWelcomeFrame) {
	p := c.peer
	if !c.tls && w.Name != p.want.Name {
		c.quit = &denial{wire.CodeIdentity, "the host at " + p.want.Address + " calls itself " + w.Name + ", the configuration calls it " +
			p.want.Name + ": make gateway.name there and the peer's name here the same, or mend the address"}
		c.link.Close(wire.CodeIdentity, c.quit.Error())
		return
	}
	c.ready = true
	c.sock.authenticated()
	if p.known {
		p.reconnects++
	}
	p.known = true
	p.set(wire.LinkConnected, "")
	for _, m := range p.mirrors {
		m.due(0)
	}
}

// lost is what becomes of a connection in the end.
func (p *peer) lost(c *conn, cause error) {
	if p.conn != c {
		return
	}
	p.conn = nil
	fault := new(link.Error)
	damaged := errors.As(cause, &fault) && fault.Code == wire.CodeChecksum
	if c.ready && !parted(cause) {
		p.pause = redialMin
	}
	for _, m := range p.mirrors {
		m.lost(c)
		if damaged {
			m.crcErrors++
		}
	}
	p.failed(cause)
}

// parted says whether a connection ended because one side sends what the other does
// not take. It will be so again, so the pause before the next one grows.
func parted(cause error) bool {
	var byPeer *closedByPeer
	var fault *link.Error
	switch {
	case errors.As(cause, &byPeer):
		return byPeer.Code != wire.CodeGoodbye
	case errors.As(cause, &fault):
		return fault.Code != wire.CodeSilent && fault.Code != wire.CodeChecksum
	}
	return false
}

// failed has the peer dialled again, later.
func (p *peer) failed(cause error) {
	state := wire.LinkWaiting
	var byPeer *closedByPeer
	var own *denial
	if errors.As(cause, &own) || errors.As(cause, &byPeer) && byPeer.Code != wire.CodeGoodbye {
		state = wire.LinkRefused
	}
	var shake *handshakeError
	if errors.As(cause, &shake) && shake.reason != reasonByPeer { // its certificate, not ours
		p.g.countRefusal(shake.reason, p.want.Name, p.want.Address, cause)
	}
	p.set(state, cause.Error())
	p.dialAt = p.g.loop.now() + redialPause(&p.pause)
	p.g.hurry()
}

// set notes how the connection is, and logs it once.
func (p *peer) set(state wire.LinkState, reason string) {
	if p.state == state && p.reason == reason {
		return
	}
	changed := p.state != state
	p.state, p.reason = state, reason
	if changed {
		p.since = time.Now()
	}
	if p.g.ending {
		return
	}
	fields := []zap.Field{zap.String("peer", p.want.Name), zap.String("address", p.want.Address), zap.String("state", string(state))}
	if state == wire.LinkConnected {
		p.g.log.Info("connected to a peer", append(fields, zap.Bool("tls", p.conn.tls))...)
		return
	}
	p.g.log.Warn("no connection to a peer; it is tried for ever", append(fields, zap.String("reason", reason))...)
}

// drop ends everything with the peer: it has left the configuration.
func (p *peer) drop(reason string) {
	p.stopDialling()
	for _, m := range p.mirrors {
		m.drop(reason)
	}
	p.mirrors = nil
	if p.conn != nil {
		c := p.conn
		p.conn = nil
		c.close(wire.CodeGoodbye, errors.New(reason))
	}
}
