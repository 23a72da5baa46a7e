package control

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"brokerd/internal/wire"
)

// What a reload of the configuration asks of the server, and how an
// administrator asks for one.

func (t *session) reload(ctx context.Context, _ wire.ReloadIn) (wire.ReloadOut, error) {
	if err := t.needAdmin("reload the configuration"); err != nil {
		return wire.ReloadOut{}, err
	}
	t.server.o.Log.Info("asked to reload the configuration", t.fields()...)
	return t.server.o.Reload(ctx)
}

// SetLimits changes how many connections may be open, and how many of them one
// user may have (0 for no quota). Those that are open stay, be they too many.
func (s *Server) SetLimits(connectionsMax, connectionsPerUIDMax int) {
	s.seats.setLimits(connectionsMax, connectionsPerUIDMax)
}

// SetAdminGID changes whose members are administrators, -1 for no group. It
// holds for the next call of every connection.
func (s *Server) SetAdminGID(gid int) { s.access.adminGID.Store(int64(gid)) }

// Reauthorize judges every attachment that a connection holds by the rules that
// its ring has now, and ends those whose right is gone. It returns a sentence
// for each of them. Who holds them is as of the connect. Names are looked up,
// each of which may take getentMax.
func (s *Server) Reauthorize() (ended []string) {
	holders := s.holders() // first: whoever is not among them was judged by the new rules
	attachments, err := s.o.Broker.Attachments("")
	if err != nil {
		s.o.Log.Error("cannot judge attachments by the new rules", zap.Error(err))
		return nil
	}
	rings := map[string]wire.Ring{}
	for _, ring := range s.o.Broker.Rings() {
		rings[ring.Name] = ring
	}
	for _, a := range attachments {
		who, held := holders[a.ID]
		ring := rings[a.Ring]
		if !held {
			who, held = leftBy(a, ring)
		}
		if !held || s.access.trusted(who) || ring.Epoch != a.Epoch {
			continue
		}
		reason := s.access.lost(who, ring, a)
		if reason != "" && s.evict(a.ID, reason) {
			ended = append(ended, fmt.Sprintf("ended %s of pid %d: %s", a.ID, a.PID, reason))
		}
	}
	return ended
}

// leftBy is the user of what no connection holds: a cursor, or what was kept for a
// process that may come back. Its groups are not known, so where the ring's rules
// name groups it is not judged before it comes back.
func leftBy(a wire.Attachment, ring wire.Ring) (who subject, judged bool) {
	for _, p := range []*wire.Principals{ring.Allow.Produce, ring.Allow.Consume, ring.Allow.Gate} {
		if p != nil && len(p.Groups) > 0 {
			return subject{}, false
		}
	}
	return subject{pid: a.PID, uid: a.UID, gid: gidUnknown}, a.EndedReason == ""
}

// holders tells who holds which attachment. An attachment that was granted by
// the rules of before is among them, for none is between the broker and its
// seat while lending is locked.
func (s *Server) holders() map[string]subject {
	s.lending.Lock()
	defer s.lending.Unlock()
	return s.seats.holders()
}

// evict tells whether it has ended the attachment, which may have ended before.
// The broker reports what it ends.
func (s *Server) evict(id, reason string) bool {
	err := s.o.Broker.Evict(id, reason)
	if err != nil && !errors.Is(err, wire.ErrAttachmentNotFound) {
		s.o.Log.Error("cannot end an attachment whose right is gone", zap.String("id", id), zap.Error(err))
		return false
	}
	s.seats.returned(id)
	return err == nil
}
