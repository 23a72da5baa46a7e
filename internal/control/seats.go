package control

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// seat is one connection's place in the server. Its fields belong to seats.mu;
// the session that sits in it goes through the methods of seats.
type seat struct {
	conn   uint64
	close  func() // ends the connection from any goroutine
	busy   bool   // a call is under way
	closed bool   // close has been called; no call may begin
	since  time.Time
	lent   []string // ids of attachments that live as long as the connection
}

// seats is the list of open connections and decides who may stay. Safe for
// concurrent use.
type seats struct {
	max int
	now func() time.Time

	mu       sync.Mutex
	draining bool
	last     uint64 // connection numbers are never reused
	open     map[uint64]*seat
}

func newSeats(max int) *seats {
	return &seats{max: max, now: time.Now, open: map[uint64]*seat{}}
}

// take gives a new connection a seat; nil when all are taken and none of their
// holders may be sent away. When full it sends away the connection that has
// been silent longest, so that a crowd that says nothing locks nobody out.
func (s *seats) take(close func()) *seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining || len(s.open) >= s.max && !s.evict() {
		return nil
	}
	s.last++
	t := &seat{conn: s.last, close: close, since: s.now()}
	s.open[t.conn] = t
	return t
}

// makeRoom sends one silent connection away, for when the process runs out of
// descriptors before the seats run out.
func (s *seats) makeRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.evict()
}

// evict looks at every seat: it runs only when the house is full, and a
// thousand seats are some microseconds.
func (s *seats) evict() bool {
	var oldest *seat
	for _, t := range s.open {
		if t.busy || len(t.lent) > 0 || s.now().Sub(t.since) <= evictIdleMin {
			continue
		}
		if oldest == nil || t.since.Before(oldest.since) {
			oldest = t
		}
	}
	if oldest == nil {
		return false
	}
	s.shut(oldest)
	// The seat is free at once, not when its session has noticed.
	delete(s.open, oldest.conn)
	return true
}

func (s *seats) shut(t *seat) {
	t.closed = true
	t.close()
}

// leave gives the seat back and tells whether it was the server that ended the
// connection: by an eviction, or because it stops.
func (s *seats) leave(t *seat) (byServer bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t.conn)
	return t.closed || s.draining
}

// begin marks a call as under way; false when the connection has been closed
// meanwhile or the server takes no more calls.
func (s *seats) begin(t *seat) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.closed || s.draining {
		return false
	}
	t.busy = true
	return true
}

// end marks the call as answered; false when it was the last one that this
// connection gets.
func (s *seats) end(t *seat) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.busy, t.since = false, s.now()
	return !t.closed && !s.draining
}

// lend notes that the connection now carries the attachment id.
func (s *seats) lend(t *seat, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.lent = append(t.lent, id)
}

// returned forgets the attachment id wherever it is.
func (s *seats) returned(id string) {
	s.forget(func(lent string) bool { return lent == id })
}

// ringGone forgets every attachment of the ring: an id is RING/slot, and no
// ring name contains a slash.
func (s *seats) ringGone(ring string) {
	s.forget(func(lent string) bool { return strings.HasPrefix(lent, ring+"/") })
}

func (s *seats) forget(gone func(string) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.open {
		t.lent = slices.DeleteFunc(t.lent, gone)
	}
}

// drain admits nobody and no call any more, and closes the connections that
// have none under way.
func (s *seats) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for _, t := range s.open {
		if !t.busy {
			s.shut(t)
		}
	}
}

// closeAll closes what is left, calls under way or not.
func (s *seats) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.open {
		s.shut(t)
	}
}

func (s *seats) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}
