package control

import (
	"maps"
	"os"
	"sync"

	"go.uber.org/zap"

	"brokerd/internal/broker"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// What the server itself refuses for want of something, as Refusals counts it; the
// broker counts its own.
const (
	limitConnections    = "limits.connections"
	limitUIDConnections = "limits.per_uid.connections"
)

// tally counts refusals by the limit that they name. Safe for concurrent use.
type tally struct {
	mu     sync.Mutex
	counts map[string]uint64
}

func newTally() *tally {
	return &tally{counts: map[string]uint64{limitConnections: 0, limitUIDConnections: 0, broker.LimitOpenFiles: 0}}
}

// add counts why, if it is a limit that was in the way.
func (t *tally) add(why *wire.Error) {
	var p wire.LimitExceededParameters
	if why.Name != wire.ErrLimitExceeded || why.Decode(&p) != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[p.Limit]++
}

// Refusals counts what the server, and not the broker, has refused for want of
// connections or descriptors, by limit.
func (s *Server) Refusals() map[string]uint64 {
	s.refusals.mu.Lock()
	defer s.refusals.mu.Unlock()
	return maps.Clone(s.refusals.counts)
}

// spare is a descriptor that is kept for when there is no other: it is given up to
// tell the one who connects why it cannot. Only the accept loop uses it.
type spare struct{ file *os.File }

// hold takes the descriptor, if it is not held and there is one.
func (s *spare) hold() {
	if s.file == nil {
		s.file, _ = os.Open(os.DevNull) // nil when there is none: the next try is soon
	}
}

// release gives it up and tells whether it was there.
func (s *spare) release() bool {
	if s.file == nil {
		return false
	}
	_ = s.file.Close() // nothing was written to it
	s.file = nil
	return true
}

// noneLeft is called when a connection could not be accepted: descriptors or memory
// ran out. Somebody silent has to go, or nobody else would ever get in. Where nobody
// is silent the one who waits is told so, rather than left waiting. An accept asks
// for a descriptor before it looks whether there is a connection: when there is
// none, nothing happens.
func (s *Server) noneLeft(ln *unixconn.Listener, cause error) {
	if !ln.Waiting() {
		return
	}
	gone := s.seats.makeRoom()
	s.quiet.Warn("cannot accept a connection", zap.Error(cause), zap.Bool("closed_a_silent_one", gone))
	if gone || !broker.NoOpenFiles(cause) || !s.spare.release() {
		return
	}
	conn, err := ln.Accept()
	if err != nil {
		return // somebody else has taken the descriptor, or the listener is closed
	}
	s.turnAway(conn)
	s.spare.hold() // at once: others look for one, too
}

// turnAway answers a connection for which there is no descriptor. Who it is may be
// unknown: the kernel says it with one.
func (s *Server) turnAway(conn *unixconn.Conn) {
	s.refuse(conn, broker.RefuseOpenFiles("connect"))
}
