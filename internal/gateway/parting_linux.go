package gateway

import (
	"errors"

	"golang.org/x/sys/unix"
)

// close ends the connection; a second call does nothing. What the session has to
// say still goes, as far as the kernel takes it now. A connection that has no
// session yet tells its listener or dialler.
//
// The kernel answers a close with unread bytes behind it by a reset, and a reset
// makes the peer lose what it has not read yet: the reason why it is closed. So
// the socket stays a little, deaf, until the peer has closed its end.
func (s *socket) close(cause error) {
	if s.state >= abandoned && s.state != open {
		return
	}
	if s.state == open && !s.broken && s.session != nil {
		s.lastWords()
		if s.state != open {
			return // closed by the session meanwhile
		}
	}
	was, session := s.state, s.session
	s.session = nil
	s.authenticated() // takes it from the list
	switch {
	case was == shaking && s.l.abandon(s):
		s.state = abandoned
	case s.spoken && !s.broken && s.l.lingering < min(lingerMax, s.l.socketsMax/lingerPart):
		s.part()
	default:
		s.discard()
	}
	switch {
	case session != nil:
		session.closed(cause)
	case s.dial != nil:
		s.dial.failed(cause)
	case s.from != nil && was != open:
		s.from.o.Refused(s.remote(), cause)
	}
}

// lastWords sends what there is, once; errors do not matter any more.
func (s *socket) lastWords() {
	if s.flushing {
		return // from within sent: what is on its way cannot be followed by more
	}
	s.flushing, s.blocked = true, false
	_ = s.send(lastWordsBytesMax)
	s.flushing = false
}

// part sends the end of the stream and waits for the peer's.
func (s *socket) part() {
	if s.transport != nil {
		s.transport.finish()
	}
	if unix.Shutdown(s.fd, unix.SHUT_WR) != nil {
		s.discard()
		return
	}
	s.state, s.transport, s.allowance = parting, nil, lingerBytesMax
	s.l.lingering++
	s.next = never
	s.until(s.l.now() + int64(lingerTimeMax))
	s.readable = true
	s.l.queue(s)
}

// drop throws away what still comes in.
func (s *socket) drop() {
	for s.allowance > 0 {
		n, err := unix.Read(s.fd, s.l.buffer)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return
		case n <= 0:
			s.discard()
			return
		default:
			s.allowance -= n
		}
	}
	s.discard()
}

// discard closes the descriptor.
func (s *socket) discard() {
	if s.state == gone {
		return
	}
	if s.state == parting {
		s.l.lingering--
	}
	s.state, s.transport, s.session = gone, nil, nil
	s.l.timers.set(&s.timer, never)
	delete(s.l.sockets, int32(s.fd))
	_ = unix.Close(s.fd) // nothing of it is wanted any more; the poller forgets it by itself
}

// evict closes a connection that has to go for another, if there is one.
func (l *loop) evict(s *socket) bool {
	if s == nil {
		return false
	}
	s.close(errCrowded)
	return true
}
