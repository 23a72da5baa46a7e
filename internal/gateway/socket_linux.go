package gateway

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// state is how far a socket has come.
type state uint8

const (
	connecting state = iota // dialled: the kernel has not said yes yet
	greeting                // accepted: has sent nothing, or less than a TLS record
	shaking                 // a goroutine has the descriptor, for the TLS handshake
	abandoned               // so, and closed meanwhile: the goroutine is about to give it back
	open                    // a session speaks
	parting                 // closed, the peer is given time to read our last words
	gone
)

// socket is one TCP connection. Its methods are called with the loop's lock
// held. It owns its descriptor until discard.
type socket struct {
	l      *loop
	fd     int
	serial int32
	state  state
	peer   netip.AddrPort
	origin netip.Addr // what counts as the peer's address
	names  []string   // of the verified certificate
	from   *listener
	dial   *dialing

	transport transport // from open on; with TLS from shaking on
	session   session   // while open
	timer     timer
	deadline  int64 // of this state, or never
	shookAt   int64 // when its TLS handshake began
	next      int64 // tick of the session
	allowance int   // what may still come in before it has said who it is

	waiting  bool // has not said who it is
	spoken   bool // we have sent something that the peer should read
	readable bool // there may be something to receive
	landing  bool // the last read had a landing place: the next bytes will soon have one, too
	hung     bool // the peer's end or a failure is behind it, so a short read tells nothing
	blocked  bool // the kernel takes nothing now, and will say when it does
	broken   bool // nothing can come or go any more
	paused   bool
	queued   bool // in the loop's list of the ready
	flushing bool
}

// adopt makes a socket of fd, which it takes over, and registers it.
func (l *loop) adopt(fd int, peer netip.AddrPort, as state) (*socket, error) {
	l.serial++
	s := &socket{l: l, fd: fd, serial: l.serial, state: as, peer: peer, origin: origin(peer), deadline: never, next: never}
	s.timer.fire = s.expired
	if err := l.register(fd, s.serial, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	l.sockets[int32(fd)] = s
	return s, nil
}

// remote is the address of the peer.
func (s *socket) remote() string { return s.peer.String() }

// identities are the names in the peer's verified certificate, DNS names first;
// none without TLS.
func (s *socket) identities() []string { return s.names }

// authenticated ends the limits on connections that have not said who they are.
func (s *socket) authenticated() {
	if s.waiting {
		s.waiting = false
		s.l.waiting.remove(s)
		s.until(never)
	}
}

// retick asks for a tick at once, though not within this call.
func (s *socket) retick() {
	if s.state == open {
		s.tickAt(s.l.now())
	}
}

// pause stops receiving, until resume; the kernel then holds the peer back.
func (s *socket) pause() { s.paused = true }

func (s *socket) resume() {
	s.paused = false
	s.l.queue(s)
}

func (s *socket) tickAt(due int64) {
	s.next = due
	s.l.schedule(&s.timer, min(s.next, s.deadline))
}

func (s *socket) until(deadline int64) {
	s.deadline = deadline
	s.l.schedule(&s.timer, min(s.next, s.deadline))
}

// noted takes what the poller says.
func (s *socket) noted(events uint32) {
	const ends = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if events&(unix.EPOLLIN|ends) != 0 {
		s.readable = true
	}
	if events&ends != 0 {
		s.hung = true
	}
	if events&(unix.EPOLLOUT|ends) != 0 {
		s.blocked = false
	}
}

// turn does what there is to do for the socket, within the limits of a turn.
func (s *socket) turn(now int64) {
	switch s.state {
	case connecting:
		s.dial.connected(s)
	case greeting:
		s.greet(now)
	case open:
		if s.readable && !s.paused {
			s.receive(now)
			s.tick(now)
		}
		s.flush()
	case parting:
		s.drop()
	}
}

// begin makes what accept gives the session that speaks; nil refuses the
// connection.
func (s *socket) begin(now int64, accept func(*socket) session) {
	s.state, s.spoken = open, true
	s.readable = true // data may have come with the handshake: the poller is silent about it
	session := accept(s)
	if s.state != open {
		return // closed by accept
	}
	if s.session = session; session == nil {
		s.close(errEnded)
		return
	}
	s.dial = nil
	s.tick(now)
	s.l.queue(s)
}

// expired is the socket's timer.
func (s *socket) expired(now int64) {
	switch {
	case now < s.deadline:
		s.tick(now)
		s.flush()
	case s.state == parting:
		s.discard()
	default:
		s.close(fmt.Errorf("%w: %v have passed", errSlow, s.from.o.HandshakeTimeout))
	}
}
