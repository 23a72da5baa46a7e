package gateway

import (
	"net/netip"
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
	running       []*socket // the one that began first at the front
	timer         timer     // for those that stand still while others wait
	// crypto is held while one computes, so that a flood of handshakes leaves
	// cores to those who have long been let in.
	crypto chan struct{}
}

// add begins the handshake of s, which is in state shaking, when it has its turn.
func (h *handshakes) add(s *socket) {
	h.queue = append(h.queue, s)
	h.start()
}

// start runs as many as may run, those first whose address has the fewest
// connections that wait.
func (h *handshakes) start() {
	for !h.l.over {
		s := h.next()
		if s == nil {
			return
		}
		if len(h.running) == handshakesMax {
			h.makeRoom(s)
			return
		}
		h.queue = slices.DeleteFunc(h.queue, func(o *socket) bool { return o == s })
		h.running = append(h.running, s)
		s.shookAt = h.l.now()
		stream := s.transport.(*stream)
		limit := time.Duration(s.handshakeUntil() - h.l.now())
		h.l.workers.Go(func() {
			err := stream.handshake(limit, h.crypto)
			h.l.complete(func(now int64) { h.done(s, err, now) })
		})
	}
}

// next is whose turn it is, nil for nobody's: an address that has its share has
// to wait.
func (h *handshakes) next() *socket {
	var next *socket
	for _, s := range h.queue {
		fewer := next == nil || h.l.waiting.count[s.origin] < h.l.waiting.count[next.origin]
		if fewer && h.runningOf(s.origin) < h.perAddressMax {
			next = s
		}
	}
	return next
}

func (h *handshakes) runningOf(origin netip.Addr) (n int) {
	for _, s := range h.running {
		if s.origin == origin {
			n++
		}
	}
	return n
}

// makeRoom ends the oldest handshake of an address that has many connections
// waiting, more than twice as many as that of s: so those who let their
// handshakes stand, from a few addresses, cannot keep everybody else out. Those who
// come from many are ended when they have had handshakeStallMax. When the goroutine
// of one that was ended is done, s has its turn.
func (h *handshakes) makeRoom(s *socket) {
	count := h.l.waiting.count
	for _, r := range h.running {
		if r.state == abandoned {
			return // room is being made
		}
	}
	for _, r := range h.running {
		if many := max(handshakesPerAddressMax, 2*count[s.origin]); count[r.origin] > many {
			r.close(errCrowded)
			return
		}
	}
	due := h.running[0].shookAt + int64(handshakeStallMax)
	if h.l.now() >= due {
		h.running[0].close(errCrowded)
		return
	}
	h.timer.fire = func(int64) { h.start() }
	h.l.schedule(&h.timer, due)
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
