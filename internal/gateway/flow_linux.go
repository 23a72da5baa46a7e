package gateway

import (
	"errors"
	"fmt"
)

// receive moves what one read gives to the session.
func (s *socket) receive(now int64) {
	direct, buffer := s.session.direct(), s.l.buffer
	landing := len(direct) > 0
	if landing || s.landing {
		buffer = buffer[:aheadBytesMax]
	}
	s.landing = landing
	if s.waiting {
		direct, buffer = nil, buffer[:min(len(buffer), s.allowance+1)]
	}
	n, more, err := s.transport.receive(direct, buffer, s.hung)
	s.readable, s.hung = more, s.hung || err != nil
	if s.waiting {
		if s.allowance -= n; s.allowance < 0 {
			s.close(fmt.Errorf("%w: at most %d bytes are taken", errChatty, unauthenticatedBytesMax))
			return
		}
	}
	if landed := min(n, len(direct)); landed > 0 {
		if e := s.session.landed(now, landed); e != nil {
			s.close(e)
		}
		n -= landed
	}
	if n > 0 && s.state == open {
		if e := s.session.input(now, buffer[:n]); e != nil {
			s.close(e)
		}
	}
	switch {
	case s.state != open:
	case err != nil:
		s.broken = errors.Is(err, errBroken)
		s.close(err)
	case more:
		s.l.queue(s)
	}
}

func (s *socket) tick(now int64) {
	if s.state != open {
		return
	}
	next, err := s.session.tick(now)
	switch {
	case s.state != open:
	case err != nil:
		s.close(err)
	case next == never:
		s.tickAt(never)
	default:
		s.tickAt(max(next, now+int64(tickMin)))
	}
}

// flush sends what the session has, as far as the kernel takes it, and at most a
// turn of it: the loop sends the rest.
func (s *socket) flush() {
	if s.flushing || s.session == nil {
		return
	}
	s.flushing = true
	err := s.send(flushTurnBytesMax)
	s.flushing = false
	if err != nil && s.state == open {
		s.close(err)
	}
}

// send sends about budget bytes, and asks for another turn if there are more.
func (s *socket) send(budget int) error {
	for !s.blocked && s.state == open {
		if budget <= 0 {
			s.l.queue(s)
			return nil
		}
		output := s.session.output()
		if s.state != open {
			return nil
		}
		if len(output) == 0 && !s.transport.pending() {
			return nil
		}
		n, full, err := s.transport.send(output)
		s.blocked = full
		if n > 0 && s.state == open {
			if e := s.session.sent(n); e != nil {
				return e
			}
		}
		if err != nil {
			s.broken = errors.Is(err, errBroken)
			return err
		}
		budget -= n
	}
	return nil
}
