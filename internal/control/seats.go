package control

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"brokerd/internal/wire"
)

// seat is one connection's place in the server. conn and who never change; the
// other fields belong to seats.mu, and the session that sits in it goes through
// the methods of seats.
type seat struct {
	conn   uint64
	who    subject
	close  func() // ends the connection from any goroutine
	busy   bool   // a call is under way
	closed bool   // close has been called; no call may begin
	since  time.Time
	lent   []string // ids of attachments that live as long as the connection
}

// seats is the list of open connections and decides who may stay. Safe for
// concurrent use.
type seats struct {
	now func() time.Time

	mu        sync.Mutex
	max       int
	perUIDMax int // 0: no quota
	draining  bool
	last      uint64 // connection numbers are never reused
	open      map[uint64]*seat
	byUID     map[uint32]int // how many of them
}

func newSeats(max, perUIDMax int) *seats {
	return &seats{now: time.Now, max: max, perUIDMax: perUIDMax, open: map[uint64]*seat{}, byUID: map[uint32]int{}}
}

// setLimits changes how many may sit. Nobody has to leave for it; who comes
// next finds the new limits.
func (s *seats) setLimits(max, perUIDMax int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.max, s.perUIDMax = max, perUIDMax
}

// take gives a new connection a seat. When full it sends away the connection
// that has been silent longest, so that a crowd that says nothing locks nobody
// out. A user at its quota (which exempt ones do not have) gets no seat, silent
// connections or not: it locks nobody out but itself.
func (s *seats) take(who subject, exempt bool, close func()) (*seat, *wire.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return nil, wire.NotReady(wire.DaemonDraining, "brokerd is stopping and takes no connection any more; try again when it is back")
	}
	if !exempt && s.perUIDMax > 0 && s.byUID[who.uid] >= s.perUIDMax {
		return nil, refuseUser(who.uid, s.byUID[who.uid], s.perUIDMax)
	}
	for len(s.open) >= s.max {
		if !s.evict() {
			return nil, refuseAll(len(s.open), s.max)
		}
	}
	s.last++
	t := &seat{conn: s.last, who: who, close: close, since: s.now()}
	s.open[t.conn] = t
	s.byUID[who.uid]++
	return t, nil
}

func refuseUser(uid uint32, used, most int) *wire.Error {
	return wire.LimitExceeded(limitUIDConnections, uint64(used), 1, uint64(most),
		"%s: uid %d has %d connections, 1 more wanted, at most %d allowed for each user: close some of them, or raise %s in the configuration",
		limitUIDConnections, uid, used, most, limitUIDConnections)
}

func refuseAll(used, most int) *wire.Error {
	return wire.LimitExceeded(limitConnections, uint64(used), 1, uint64(most),
		"all %d connections are taken; close some, or raise %s in the configuration", most, limitConnections)
}

// remove takes a connection off the list, once.
func (s *seats) remove(t *seat) {
	if s.open[t.conn] != t {
		return
	}
	delete(s.open, t.conn)
	if s.byUID[t.who.uid]--; s.byUID[t.who.uid] == 0 {
		delete(s.byUID, t.who.uid)
	}
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
	s.remove(oldest) // at once, not when its session has noticed
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
	s.remove(t)
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

// holders tells who holds which attachment, by its id.
func (s *seats) holders() map[string]subject {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := map[string]subject{}
	for _, t := range s.open {
		for _, id := range t.lent {
			list[id] = t.who
		}
	}
	return list
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

func (s *seats) countByUID() map[uint32]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.byUID)
}

func (s *seats) limit() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.max
}
