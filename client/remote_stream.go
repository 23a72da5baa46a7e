package client

import (
	protocol "brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// cargo is what streams carry for one attachment: records to a reader of this
// process, or from its producer.
type cargo interface {
	// held is the boundary to go on behind.
	held() shmring.Boundary
	// join goes on over a stream that was opened.
	join(l *line, id uint16, o wire.LinkOpenedFrame) error
	// owes tells whether the other side has an answer to give; kept is how far it
	// has answered.
	owes() bool
	kept() shmring.Boundary
	// watch sees to it that news wake who moves them.
	watch(status protocol.StreamStatus)
}

// stream is the far side of one attachment, over one connection after another.
// Remote.mu is held for all of it that changes.
type stream struct {
	remote *Remote
	ask    wire.LinkOpenFrame // as asked first
	answer chan answered      // has room for one; nil once the attachment is made

	a     *attachment // nil until it is made
	cargo cargo
	epoch uint64
	name  string           // of the attachment over there; each connection makes another one
	id    uint16           // on the present connection, 0: none
	open  bool             // and granted there
	seen  shmring.Boundary // acknowledged, as seen last

	joined  uint64 // position where it goes on on this connection: a loss there is of the outage
	demoted bool   // as far as is known here
	removed bool   // the other side has said so: what has the name now is asked
	retry
}

// answered is what came of an Open.
type answered struct {
	opened wire.LinkOpenedFrame
	err    error
}

// progressed tells whether more has been acknowledged since it was asked last.
func (s *stream) progressed() bool {
	if s.cargo == nil {
		return false
	}
	before := s.seen
	s.seen = s.cargo.kept()
	return s.seen != before
}

// owed tells whether the other side has something to answer.
func (s *stream) owed() bool { return !s.open || s.cargo != nil && s.cargo.owes() }

// adrift notes that the connection is gone.
func (s *stream) adrift() {
	s.id, s.open = 0, false
	switch {
	case s.answer != nil:
		s.reply(answered{err: errBroken})
	case s.removed:
		s.gone(0, errBroken)
	default:
		s.remote.waiting[s] = struct{}{}
	}
}

func (s *stream) reply(a answered) {
	select {
	case s.answer <- a:
	default: // it has one
	}
}

// react deals with what the connection has to tell.
func (r *Remote) react(l *line) {
	for e, ok := l.link.Next(); ok; e, ok = l.link.Next() {
		s := l.streams[e.Stream]
		switch {
		case e.Kind == protocol.EventClose:
			l.fail(closeError(e.Close))
		case s == nil: // given up meanwhile
		case e.Kind == protocol.EventOpened:
			s.opened(l, e.Opened)
		case e.Kind == protocol.EventEnd:
			delete(l.streams, e.Stream)
			s.id = 0
			s.ended(e)
		case e.Kind == protocol.EventGap:
			s.gap(e.Gap)
		}
	}
}

// opened goes on with a stream, or tells who waits for the first one.
func (s *stream) opened(l *line, o wire.LinkOpenedFrame) {
	s.open = true
	if s.answer != nil {
		s.reply(answered{opened: o})
		return
	}
	if s.removed || o.Epoch != s.epoch {
		s.part(l, wire.CodeGoodbye, "")
		s.gone(o.Epoch, nil)
		return
	}
	s.joined, s.name, s.retry = s.cargo.held().Position, o.ID, retry{}
	if err := s.cargo.join(l, s.id, o); err != nil {
		s.part(l, wire.CodeCorrupt, err.Error())
		s.lose(err)
	}
}

// gap takes note of a loss: a demote reader that loses records on a connection
// that stands has been demoted.
func (s *stream) gap(g wire.LinkGapFrame) {
	if g.Missed && g.Position != s.joined && s.a != nil && s.a.info.Policy == PolicyDemote {
		s.demoted = true
	}
}

// correct makes the statistics of the private reader those of the one over there:
// here it gates whatever it may miss there.
func (s *stream) correct(of *ConsumerStats) {
	policy, err := shmring.ParsePolicy(string(s.a.info.Policy))
	if err != nil {
		return // the other side did not tell
	}
	s.remote.mu.Lock()
	defer s.remote.mu.Unlock()
	of.Policy, of.Demoted = policy, s.demoted
	of.Gating = (policy == shmring.PolicyBlock || policy == shmring.PolicyDemote) && !s.demoted
}

// part ends the stream on this connection.
func (s *stream) part(l *line, code wire.LinkCode, why string) {
	if s.id == 0 {
		return
	}
	l.link.End(s.id, wire.LinkEndFrame{Stream: s.id, Code: code, Message: why})
	delete(l.streams, s.id)
	s.id, s.open = 0, false
}
