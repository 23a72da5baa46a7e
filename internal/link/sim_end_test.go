package link

import "fmt"

// settled says whether everything that was published has arrived, and is known to
// have.
func (s *mirrorSim) settled() bool {
	if s.host == nil || s.host.truth != s.origin.truth || s.accept == nil {
		return false
	}
	streams := s.accept.conn.Streams()
	return s.host.mirror.End().Sequence == uint64(len(s.origin.truth.facts)) &&
		s.host.mirror.End().Position == s.origin.observer.Position() &&
		len(streams) == 1 && streams[0].Acked == s.host.mirror.End()
}

func (s *mirrorSim) describe() string {
	text := fmt.Sprintf("%d records published", len(s.origin.truth.facts))
	if s.host != nil {
		text += fmt.Sprintf(", mirror at %+v", s.host.mirror.End())
	}
	if s.dial != nil {
		text += fmt.Sprintf("\nacceptor %+v %+v\ndialer %+v", s.accept.conn.Streams(), s.accept.failed, s.dial.conn.Streams())
	}
	return text
}

func (s *mirrorSim) audit() {
	for _, r := range s.host.readers {
		for s.host.read(r, 1000) {
		}
		s.host.audit(r)
	}
	s.host.sameBytes(s.origin)
	for _, h := range s.old {
		for _, r := range h.readers {
			for h.read(r, 1000) {
			}
			h.audit(r)
		}
	}
}

func (s *mirrorSim) closeAll() {
	if s.dial != nil {
		s.reset(s.dial, s.accept)
	}
	s.dropSource()
	s.host.close()
	for _, h := range s.old {
		h.close()
	}
	s.origin.close()
	for _, o := range s.past {
		o.close()
	}
}
