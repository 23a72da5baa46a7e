package gateway

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// conn is one connection of this gateway with another, or with a remote client:
// the state machine, the socket below it, and what its streams move. It is a
// session of the loop, which calls it with the lock held.
type conn struct {
	g        *Gateway
	link     *link.Conn
	sock     *socket
	peer     *peer    // that was dialled; nil for one that came in
	who      identity // of one that came in, once it has said who it is
	session  [16]byte // of one that came in
	tls      bool
	ready    bool // Hello and Welcome were said
	deadline int64
	gone     bool
	pumped   uint64 // in that round
	quit     error  // why it is to be closed

	// By stream; nil while there are none, for there may be many idle clients.
	mirrors    map[uint16]*mirror
	exports    map[uint16]*export
	publishers map[uint16]*publisher
}

func (g *Gateway) newConn(sock *socket, p *peer, tls bool) *conn {
	now := g.loop.now()
	c := &conn{
		g: g, sock: sock, peer: p, tls: tls,
		deadline: now + g.settings.HandshakeTimeout.Nanoseconds(),
		link: link.New(link.Config{
			Dialer: p != nil, Name: g.settings.Name, Agent: g.agent, Session: g.sessionFor(p), DeadAfter: g.settings.DeadAfter,
		}, now),
	}
	g.conns[c] = struct{}{}
	return c
}

// sessionFor tells our connections to a peer from those to another entry of the
// configuration that leads to the same host. p is nil for one that came in.
func (g *Gateway) sessionFor(p *peer) (session [16]byte) {
	if p != nil {
		sum := sha256.Sum256(append(g.session[:], p.want.Name...))
		copy(session[:], sum[:])
	}
	return session
}

func (c *conn) direct() []byte { return c.link.Direct() }

func (c *conn) landed(now int64, n int) error { return c.after(now, c.link.Landed(now, n)) }

func (c *conn) input(now int64, p []byte) error { return c.after(now, c.link.Input(now, p)) }

func (c *conn) sent(n int) error { return c.link.Sent(n) }

// output is what the socket is to take. Whoever sends asks again until it is
// empty or its turn is over, so what a ring has in the meantime follows at once.
func (c *conn) output() [][]byte {
	out := c.link.Output()
	if len(out) > 0 || len(c.exports) == 0 || c.quit != nil {
		return out
	}
	if err := c.after(c.g.loop.now(), nil); err != nil {
		c.quit = err
		c.sock.retick() // which ends it
		return nil
	}
	if out = c.link.Output(); len(out) == 0 {
		c.watch()
	}
	return out
}

func (c *conn) tick(now int64) (next int64, err error) {
	again := c.publishQueued(now)
	next, err = c.link.Tick(now)
	if err = c.after(now, err); err != nil {
		return next, err
	}
	if !c.ready {
		if now >= c.deadline {
			return next, fmt.Errorf("no answer within %s", c.g.settings.HandshakeTimeout)
		}
		again = min(again, c.deadline)
	}
	return min(next, again), nil
}

// after deals with what the state machine has to say once it was given
// something, lets it send what it can, and tells whether the connection goes on.
func (c *conn) after(now int64, err error) error {
	c.events()
	if err == nil {
		err = c.link.Pump(now)
		c.events()
	}
	if c.quit != nil { // the word of the peer, or ours, says more than what follows from it
		return c.quit
	}
	return err
}

// push is after and flush, for those who are not called by the loop. It says
// whether the connection goes on.
func (c *conn) push() bool {
	if c.gone {
		return false
	}
	if err := c.after(c.g.loop.now(), nil); err != nil {
		c.sock.close(err)
		return false
	}
	c.sock.flush()
	return !c.gone
}

// work is push when something else than records has come up.
func (c *conn) work() {
	if c.push() {
		c.sock.retick()
	}
}

// close ends the connection for a reason that the other side is told.
func (c *conn) close(code wire.LinkCode, why error) {
	if c.gone {
		return
	}
	c.sock.flush() // the ends of streams, which a Close would drop
	if c.gone {
		return
	}
	c.link.Close(code, why.Error())
	c.sock.close(why)
}

func (c *conn) events() {
	for {
		e, ok := c.link.Next()
		if !ok {
			return
		}
		switch e.Kind {
		case link.EventHello:
			c.greet(e.Hello)
		case link.EventWelcome:
			c.welcomed(e.Welcome)
		case link.EventOpen:
			c.opening(e.Open)
		case link.EventOpened:
			c.opened(e.Stream, e.Opened)
		case link.EventEnd:
			c.ended(e)
		case link.EventGap:
			c.gap(e.Stream, e.Gap)
		case link.EventClose:
			c.quit = &closedByPeer{e.Close}
		}
	}
}

// closedByPeer is the last word of the other side.
type closedByPeer struct{ wire.LinkCloseFrame }

func (e *closedByPeer) Error() string {
	if e.Code == wire.CodeGoodbye {
		return "closed by the peer: " + e.Message
	}
	return fmt.Sprintf("refused by the peer (%s): %s", e.Code, e.Message)
}

// greet answers who has dialled in.
func (c *conn) greet(hello wire.LinkHelloFrame) {
	who, err := c.g.identify(c, hello)
	if err != nil {
		c.link.Close(wire.CodeIdentity, err.Error())
		c.quit = &denial{wire.CodeIdentity, err.Error()}
		return
	}
	c.g.supersede(who, hello.Session)
	if n := unreserved(c.g.loop.socketsMax); c.g.connectionsOf(who) >= n {
		c.quit = &denial{wire.CodeBusy, fmt.Sprintf("%s has %d connections with %s: more are not taken", who.name, n, c.g.settings.Name)}
		c.link.Close(wire.CodeBusy, c.quit.Error())
		return
	}
	c.who, c.session, c.ready = who, hello.Session, true
	c.link.Welcome(c.g.loop.now())
	c.sock.authenticated()
}

// supersede closes the connection that a dialer had before: it would not have
// dialled again if that one was still good.
func (g *Gateway) supersede(who identity, session [16]byte) {
	if session == [16]byte{} {
		return
	}
	for c := range g.conns {
		if c.ready && c.peer == nil && c.session == session && c.who.name == who.name {
			c.close(wire.CodeGoodbye, errSuperseded)
		}
	}
}

// connectionsOf is how many connections somebody has dialled.
func (g *Gateway) connectionsOf(who identity) (n int) {
	for c := range g.conns {
		if c.ready && c.peer == nil && c.who.name == who.name {
			n++
		}
	}
	return n
}

var errSuperseded = errors.New("it has connected again")

// opening is a stream that the other side wants.
func (c *conn) opening(o wire.LinkOpenFrame) {
	var err error
	if o.Mode == wire.LinkProduce {
		err = c.openPublisher(o)
	} else {
		err = c.openExport(o)
	}
	if err != nil {
		end := ending(err)
		end.Stream = o.Stream
		c.link.End(o.Stream, end)
		c.g.refused(end.Code.String(), c.who.name, c.sock.remote(), fmt.Errorf("%s ring %s: %w", o.Mode, o.Ring, err))
	}
}

// opened is a stream that we wanted.
func (c *conn) opened(stream uint16, o wire.LinkOpenedFrame) {
	if m := c.mirrors[stream]; m != nil {
		m.opened(o)
	}
}

// ended is a stream that is over, by the other side or because what it moved
// failed here.
func (c *conn) ended(e link.Event) {
	var chunk *shmring.ChunkError
	if errors.As(e.Err, &chunk) {
		c.g.refused(wire.CodeCorrupt.String(), c.name(), c.sock.remote(), e.Err)
	}
	if m := c.mirrors[e.Stream]; m != nil {
		m.noteLast(e.Last)
		m.ended(e.End, e.Err)
	}
	if x := c.exports[e.Stream]; x != nil {
		delete(c.exports, e.Stream)
		c.g.release(x, why(e))
	}
	if p := c.publishers[e.Stream]; p != nil {
		delete(c.publishers, e.Stream)
		p.finish(why(e))
	}
}

// why says what ended a stream.
func why(e link.Event) string {
	switch {
	case e.Err != nil:
		return e.Err.Error()
	case e.End.Message != "":
		return e.End.Message
	}
	return "ended by the peer"
}

// gap is a hole in what comes.
func (c *conn) gap(stream uint16, gap wire.LinkGapFrame) {
	m := c.mirrors[stream]
	if m == nil {
		return
	}
	m.gaps++
	m.gapRecords += gap.Lost
	now := c.g.loop.now()
	if m.gapLoggedAt != 0 && now < m.gapLoggedAt+sweepInterval.Nanoseconds() {
		m.gapsUnlogged++ // the sweep tells of them
		m.gapRecordsUnlogged += gap.Lost
		return
	}
	m.gapLoggedAt = now
	c.g.log.Warn("gap: the origin no longer held what was to come next", zap.String("peer", c.peer.want.Name),
		zap.String("ring", m.want.Ring), zap.String("local", m.want.As), zap.Uint64("epoch", gap.Epoch),
		zap.Uint64("from", gap.Position), zap.Uint64("to", gap.To), zap.Uint64("records", gap.Lost))
}

// closed is called by the loop once, when the socket is gone.
func (c *conn) closed(cause error) {
	c.gone = true
	delete(c.g.conns, c)
	if c.quit != nil {
		cause = c.quit
	}
	if cause == nil {
		cause = errors.New("the peer closed the connection")
	}
	for _, x := range c.exports {
		c.g.park(x, cause)
	}
	for _, p := range c.publishers {
		p.park(c.g.loop.now())
	}
	c.exports, c.publishers = nil, nil
	if c.peer == nil && !c.ready {
		c.g.refusedHandshake(c.sock.remote(), cause)
	} else if fault := new(link.Error); errors.As(cause, &fault) && fault.Code != wire.CodeSilent {
		c.g.refused(fault.Code.String(), c.name(), c.sock.remote(), cause) // what no correct peer sends, or damaged on its way
	}
	if c.peer != nil {
		c.peer.lost(c, cause)
	}
}

// name is what the other side is called.
func (c *conn) name() string {
	if c.peer != nil {
		return c.peer.want.Name
	}
	return c.who.name
}
