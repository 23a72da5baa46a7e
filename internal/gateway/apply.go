package gateway

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"go.uber.org/zap"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// certsOf are the certificates in files, read once and again with each Apply.
func (g *Gateway) certsOf(files TLS) (*certs, error) {
	if c := g.certs[files]; c != nil {
		return c, nil
	}
	c, err := loadCerts(files)
	if err != nil {
		return nil, err
	}
	g.certs[files] = c
	return c, nil
}

// listen opens the listener that s asks for, if any.
func (g *Gateway) listen(s Settings) error {
	if s.Listen == "" {
		return nil
	}
	o := listenOptions{
		Address:          s.Listen,
		HandshakeTimeout: s.HandshakeTimeout,
		Accept: func(sock *socket) session {
			if g.ending {
				return nil
			}
			return g.newConn(sock, nil, s.TLS != nil)
		},
		Refused: g.refusedHandshake,
		PlainReply: wire.LinkCloseFrame{
			Code: wire.CodeProtocol, Message: "TLS is spoken here, and you began without: set tls for this peer",
		}.Append(nil),
	}
	if s.TLS != nil {
		c, err := g.certsOf(*s.TLS)
		if err != nil {
			return fmt.Errorf("gateway.tls: %w", err)
		}
		o.Certs = c
	}
	ln, err := g.loop.listen(o)
	if err != nil {
		return fmt.Errorf("gateway.listen: %w", err)
	}
	g.listener = ln
	return nil
}

// Apply puts settings in force while the gateway runs. Peers come, go and change
// live, streams whose right is gone end at once, and certificates are read again,
// for the handshakes to come. It says in sentences what it has changed, and what
// cannot change before a restart. An error has changed nothing.
func (g *Gateway) Apply(s Settings) (changed, kept []string, err error) {
	if err := g.Check(s); err != nil {
		return nil, nil, err
	}
	g.loop.mu.Lock()
	defer g.loop.mu.Unlock()
	if g.ending {
		return nil, nil, errStopping
	}
	old := g.settings
	if s.BusyPoll != old.BusyPoll {
		kept = append(kept, fmt.Sprintf("gateway.busy_poll stays %v: the loop was started that way; restart brokerd to make it %v", old.BusyPoll, s.BusyPoll))
		s.BusyPoll = old.BusyPoll
	}
	note, err := g.applyListen(old, s)
	if err != nil {
		return nil, nil, err
	}
	changed = append(changed, note...)
	for files, c := range g.certs {
		if err := c.reload(); err != nil { // it was good a moment ago
			g.log.Error("certificates stay as they were", zap.String("cert", files.Cert), zap.Error(err))
		}
	}
	if note, err = g.applyFeeds(s); err != nil {
		_, back := g.applyListen(s, old)
		return nil, nil, errors.Join(err, back)
	}
	changed = append(changed, note...)
	g.settings = s
	g.loop.o.DeadAfter = s.DeadAfter
	changed = append(changed, applyWords(old, s)...)
	changed = append(changed, g.applyPeers(old, s)...)
	changed = append(changed, g.endRightless()...)
	g.hurry()
	for _, text := range changed {
		g.log.Info("reload: " + text)
	}
	return changed, kept, nil
}

// applyListen opens the listener anew when it has to be another one. What has
// been accepted goes on.
func (g *Gateway) applyListen(old, s Settings) (changed []string, err error) {
	if old.Listen == s.Listen && reflect.DeepEqual(old.TLS, s.TLS) && old.HandshakeTimeout == s.HandshakeTimeout {
		return nil, nil
	}
	if g.listener != nil {
		g.listener.close()
		g.listener = nil
	}
	if err := g.listen(s); err != nil {
		return nil, errors.Join(err, g.listen(old))
	}
	if old.Listen != s.Listen {
		changed = append(changed, fmt.Sprintf("gateway.listen is %s, was %s", orNone(s.Listen), orNone(old.Listen)))
	}
	if !reflect.DeepEqual(old.TLS, s.TLS) {
		changed = append(changed, "gateway.tls has changed: connections that are made from now on use it")
	}
	return changed, nil
}

// applyWords tells of the keys that are looked at when they are needed.
func applyWords(old, s Settings) (changed []string) {
	if old.Name != s.Name {
		changed = append(changed, fmt.Sprintf("gateway.name is %s, was %s: connections that are made from now on say so", s.Name, old.Name))
	}
	if old.DeadAfter != s.DeadAfter {
		changed = append(changed, fmt.Sprintf("gateway.dead_after is %s, was %s, for connections that are made from now on", s.DeadAfter, old.DeadAfter))
	}
	if old.HandshakeTimeout != s.HandshakeTimeout {
		changed = append(changed, fmt.Sprintf("gateway.handshake_timeout is %s, was %s", s.HandshakeTimeout, old.HandshakeTimeout))
	}
	if !slices.Equal(old.Export, s.Export) {
		changed = append(changed, fmt.Sprintf("gateway.export is %q, was %q", s.Export, old.Export))
	}
	return changed
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// applyPeers adds, changes and drops peers.
func (g *Gateway) applyPeers(old, s Settings) (changed []string) {
	var kept []*peer
	for _, p := range g.peers {
		want, ok := s.peer(p.want.Name)
		switch {
		case !ok:
			p.drop("the configuration no longer has this peer")
			changed = append(changed, fmt.Sprintf("peer %s was removed; its mirrors stay as they are", p.want.Name))
		default:
			changed = append(changed, p.apply(want, !reflect.DeepEqual(old.TLS, s.TLS))...)
			kept = append(kept, p)
		}
	}
	g.peers = kept
	for _, want := range s.Peers {
		if !slices.ContainsFunc(kept, func(p *peer) bool { return p.want.Name == want.Name }) {
			g.addPeer(want)
			changed = append(changed, fmt.Sprintf("peer %s was added", want.Name))
		}
	}
	return changed
}

// apply gives a peer its new entry. A connection that was made otherwise than
// would be now is made anew.
func (p *peer) apply(want Peer, otherTLS bool) (changed []string) {
	old := p.want
	p.want = want
	if old.Address != want.Address || old.TLSOff != want.TLSOff || !reflect.DeepEqual(old.TLS, want.TLS) || otherTLS && want.TLS == nil {
		changed = append(changed, fmt.Sprintf("peer %s: its address is %s, was %s, or its tls has changed: connected anew", want.Name, orNone(want.Address), orNone(old.Address)))
		p.stopDialling()
		if p.conn != nil {
			p.conn.close(wire.CodeGoodbye, errors.New("the configuration has changed"))
		}
		p.pause, p.dialAt = redialMin, p.g.loop.now()
	}
	changed = append(changed, p.applyMirrors(want)...)
	if !reflect.DeepEqual(old.Allow, want.Allow) {
		changed = append(changed, fmt.Sprintf("peer %s: its rights have changed", want.Name))
	}
	if p.conn != nil && len(p.mirrors) == 0 {
		p.conn.close(wire.CodeGoodbye, errors.New("nothing is mirrored any more"))
	}
	return changed
}

func (p *peer) applyMirrors(want Peer) (changed []string) {
	var kept []*mirror
	for _, m := range p.mirrors {
		i := slices.IndexFunc(want.Mirror, func(w Mirror) bool { return w.As == m.want.As && w.Ring == m.want.Ring && w.Policy == m.want.Policy })
		if i < 0 {
			m.drop("it is not mirrored any more")
			changed = append(changed, fmt.Sprintf("peer %s: ring %s is not mirrored as %s any more; the mirror stays as it is", want.Name, m.want.Ring, m.want.As))
			continue
		}
		m.update(want.Mirror[i])
		kept = append(kept, m)
	}
	for _, w := range want.Mirror {
		if !slices.ContainsFunc(kept, func(m *mirror) bool { return m.want.As == w.As }) {
			kept = append(kept, newMirror(p, w))
			changed = append(changed, fmt.Sprintf("peer %s: ring %s is mirrored as %s", want.Name, w.Ring, w.As))
		}
	}
	p.mirrors = kept
	return changed
}

// update gives a mirror that goes on the keys that may change, and another try.
func (m *mirror) update(want Mirror) {
	other := !reflect.DeepEqual(m.want, want)
	m.want, m.stuck, m.pause = want, false, askAgainMin
	if m.phase == phaseIdle {
		m.askAt = 0
	}
	if !other || m.phase != phaseRunning {
		return
	}
	if _, err := m.peer.g.broker.CreateMirror(m.spec(m.sink.Config(), shmring.Boundary{})); err != nil {
		m.peer.g.log.Error("a mirror keeps its former keys", zap.String("local", want.As), zap.Error(err))
	}
}

// endRightless ends what is lent to others by rights that are gone.
func (g *Gateway) endRightless() (changed []string) {
	for c := range g.conns {
		if c.peer != nil || !c.ready {
			continue
		}
		if _, listed := g.settings.peer(c.who.name); c.who.listed && !listed {
			c.close(wire.CodeIdentity, errors.New("the configuration no longer has this peer"))
			continue
		}
		for stream, x := range c.exports {
			if err := g.settings.mayRead(x.who, x.ring.Name, x.policy); err != nil {
				end := ending(err)
				end.Stream = stream
				c.link.End(stream, end)
				delete(c.exports, stream)
				g.release(x, err.Error())
				changed = append(changed, fmt.Sprintf("ended %s of %s: %v", x.id, x.who.name, err))
			}
		}
		for _, p := range c.publishers {
			if err := g.settings.mayProduce(c.who, p.key.ring); err != nil {
				p.end(err)
				changed = append(changed, fmt.Sprintf("ended %s of %s: %v", p.id, c.who.name, err))
			}
		}
		c.work()
	}
	for _, x := range slices.Clone(g.parked) {
		if _, listed := g.settings.peer(x.who.name); !listed {
			g.unpark(x, "the configuration no longer has its peer")
		} else if err := g.settings.mayRead(x.who, x.ring.Name, x.policy); err != nil {
			g.unpark(x, err.Error())
		}
	}
	for _, p := range g.publishers {
		if err := g.settings.mayProduce(identity{name: p.key.who}, p.key.ring); err != nil && p.conn == nil {
			p.finish(err.Error())
		}
	}
	return changed
}
