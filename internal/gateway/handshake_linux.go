package gateway

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// handshakes run the TLS handshakes of one direction: crypto/tls cannot stop in
// the middle of one, so each takes a goroutine, and while it waits for its peer
// a thread. Their number is bounded; the rest stands in a queue, which is
// bounded by the number of connections that have not said who they are, or of
// those that are dialled.
type handshakes struct {
	l             *loop
	perAddressMax int
	queue         []*socket
	running       []*socket
	// crypto is held while one computes, so that a flood of handshakes leaves
	// cores to those who have long been let in.
	crypto chan struct{}
}

// add begins the handshake of s, which is in state shaking, when it has its turn.
func (h *handshakes) add(s *socket) {
	h.queue = append(h.queue, s)
	h.start()
}

// start runs as many as may run. It passes over those whose address has its
// share.
func (h *handshakes) start() {
	for len(h.running) < handshakesMax && !h.l.over {
		i := slices.IndexFunc(h.queue, func(s *socket) bool {
			return count(h.running, func(o *socket) bool { return origin(o.peer) == origin(s.peer) }) < h.perAddressMax
		})
		if i < 0 {
			return
		}
		s := h.queue[i]
		h.queue = slices.Delete(h.queue, i, i+1)
		h.running = append(h.running, s)
		stream := s.transport.(*stream)
		limit := time.Duration(s.handshakeUntil() - h.l.now())
		h.l.workers.Go(func() {
			err := stream.handshake(limit, h.crypto)
			h.l.complete(func(now int64) { h.done(s, err, now) })
		})
	}
}

// done is told what became of the handshake of s. The descriptor is the loop's
// again.
func (h *handshakes) done(s *socket, err error, now int64) {
	h.running = slices.DeleteFunc(h.running, func(o *socket) bool { return o == s })
	defer h.start()
	if s.state == abandoned {
		s.discard()
		return
	}
	s.spoken = true // an alert, if nothing else
	if err != nil {
		s.close(err)
		return
	}
	stream := s.transport.(*stream)
	s.names = stream.identities()
	s.allowance = max(0, unauthenticatedBytesMax-stream.taken)
	if s.dial != nil {
		s.dial.established(s, now)
		return
	}
	s.begin(now, s.from.o.Accept)
}

// abandon ends the handshake of s. running says that a goroutine still has the
// descriptor, and will give it back soon; else it never began.
func (l *loop) abandon(s *socket) (running bool) {
	for _, h := range []*handshakes{l.incoming, l.outgoing} {
		h.queue = slices.DeleteFunc(h.queue, func(o *socket) bool { return o == s })
		running = running || slices.Contains(h.running, s)
	}
	if running {
		_ = unix.Shutdown(s.fd, unix.SHUT_RDWR) // ends its wait; it fails only when the peer was faster
	}
	return running
}

// handshakeUntil is when the handshake must be done.
func (s *socket) handshakeUntil() int64 {
	if s.dial != nil {
		return s.dial.addressUntil
	}
	return s.deadline
}
