package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"brokerd/internal/wire"
)

// attach opens a stream and makes its attachment: build takes what was granted and
// returns what the stream carries and how that is closed. It asks again when the
// connection breaks meanwhile.
func (r *Remote) attach(ctx context.Context, ask wire.LinkOpenFrame, in wire.AttachIn,
	build func(wire.LinkOpenedFrame, *stream) (cargo, func() error, error)) (*attachment, error) {
	for begin := time.Now(); ; {
		l, err := r.connected(ctx, begin)
		if err != nil {
			return nil, err
		}
		s := &stream{remote: r, ask: ask, answer: make(chan answered, 1)}
		o, err := s.request(ctx, begin, l)
		if err == nil {
			err = s.grant(l, o, in, build)
		}
		switch {
		case err == nil:
			return s.a, nil
		case !errors.Is(err, errBroken):
			return nil, err
		case r.life.Err() != nil:
			return nil, ErrClosed
		}
	}
}

// request asks for the stream and waits for the answer, or for ctx.
func (s *stream) request(ctx context.Context, begin time.Time, l *line) (wire.LinkOpenedFrame, error) {
	r := s.remote
	r.mu.Lock()
	err := l.broken
	if err == nil {
		s.id, err = l.link.Open(s.ask)
	} else {
		err = fmt.Errorf("%w: %w", errBroken, err)
	}
	if err == nil {
		l.streams[s.id] = s
	}
	r.mu.Unlock()
	if err != nil {
		return wire.LinkOpenedFrame{}, err
	}
	r.door.Knock()
	select {
	case a := <-s.answer:
		return a.opened, a.err
	case <-ctx.Done():
		s.hangUp(wire.CodeGoodbye)
		return wire.LinkOpenedFrame{}, overdue(ctx, begin, unreachable(r.o.Address, fmt.Errorf("%w to the wish for ring %s", errUnanswered, s.ask.Ring)))
	}
}

// grant makes the attachment of a stream that was opened.
func (s *stream) grant(l *line, o wire.LinkOpenedFrame, in wire.AttachIn, build func(wire.LinkOpenedFrame, *stream) (cargo, func() error, error)) error {
	a, err := s.attachment(o, in)
	var carried cargo
	if err == nil {
		carried, a.unmap, err = build(o, s)
	}
	if err != nil {
		s.hangUp(wire.CodeGoodbye)
		return err
	}
	r := s.remote
	r.mu.Lock()
	s.a, s.cargo, s.epoch, s.joined, s.name = a, carried, o.Epoch, o.Position, o.ID
	switch {
	case l.broken != nil:
		err = errBroken
	case !s.open: // ended between the grant and now
		err = (<-s.answer).err
	default:
		err = s.cargo.join(l, s.id, o)
	}
	if err == nil {
		s.answer = nil
		s.seen = s.cargo.kept()
		r.held[s] = struct{}{}
	}
	r.mu.Unlock()
	r.door.Knock()
	if err != nil {
		return errors.Join(err, a.unmap())
	}
	return nil
}

// attachment describes what was granted.
func (s *stream) attachment(o wire.LinkOpenedFrame, in wire.AttachIn) (*attachment, error) {
	a := &attachment{side: s, origin: s, request: in, resumed: o.Resumed}
	if o.Ring != "" {
		if err := json.Unmarshal([]byte(o.Ring), &a.ring); err != nil {
			return nil, fmt.Errorf("%w: what the gateway says of ring %s: %w", ErrProtocol, in.Ring, err)
		}
	}
	a.ring.Name, a.ring.Epoch, a.ring.Capacity, a.ring.RecordMax = in.Ring, o.Epoch, o.Capacity, uint64(o.RecordMax)
	a.info = wire.Attachment{ID: o.ID, Ring: in.Ring, Role: in.Role, Name: in.Name, Policy: policyOf(o.Policy), Epoch: o.Epoch}
	return a, nil
}

// attachmentID is how the other side lists it now.
func (s *stream) attachmentID() string {
	s.remote.mu.Lock()
	defer s.remote.mu.Unlock()
	return s.name
}

// forget implements side.
func (s *stream) forget(*attachment) bool {
	r := s.remote
	r.mu.Lock()
	defer r.mu.Unlock()
	_, held := r.held[s]
	delete(r.held, s)
	delete(r.waiting, s)
	return held
}

// giveBack implements side: hangUp has told the other side already.
func (s *stream) giveBack(*attachment) error { return nil }

// why implements side. The private ring knows of no end; the stream does, and has
// said so.
func (s *stream) why(_ *attachment, err error) error { return err }

// hangUp ends the stream, where it is open.
func (s *stream) hangUp(code wire.LinkCode) {
	r := s.remote
	r.mu.Lock()
	if r.line != nil && r.line.broken == nil && s.id != 0 {
		s.part(r.line, code, "")
	}
	r.mu.Unlock()
	r.door.Knock()
}
