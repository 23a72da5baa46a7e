package client

import (
	"context"
	"errors"
	"fmt"

	protocol "brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// outboundBytes is the capacity of the private ring that a remote Producer writes,
// unless record_max needs more, or the ring over there has less.
const outboundBytes = 1 << 20

// outbound is what a remote Producer writes: a private ring, whose positions are
// those of the session. It is read by what sends it over the stream, and holds each
// record until the other side has published it.
type outbound struct {
	ring   *shmring.Ring
	remote *Remote
	key    uint64
	source *shmring.Consumer
	atDoor bool // source is
}

// Producer attaches to a ring of the other host as a producer. Errors are those of
// Client.Producer. Several Producers of one ring need names of their own: by that,
// and by the Remote, the other side knows whose records it has published, so that
// none is published twice.
func (r *Remote) Producer(ctx context.Context, ring string, o ProducerOptions) (*Producer, error) {
	wait, err := checkProducer(o)
	if err != nil {
		return nil, err
	}
	ask, err := readOf(ring, ConsumerOptions{Name: o.Name})
	if err != nil {
		return nil, err
	}
	ask.Mode = wire.LinkProduce
	key := [2]string{ring, o.Name}
	if err := r.claim(key); err != nil {
		return nil, err
	}
	defer r.unclaim(key)
	p := &Producer{}
	in := wire.AttachIn{Ring: ring, Role: wire.RoleProducer, Name: o.Name, WaitStrategy: o.WaitStrategy}
	p.a, err = r.attach(ctx, ask, in, func(granted wire.LinkOpenedFrame, s *stream) (cargo, func() error, error) {
		private, err := r.newOutbound(granted)
		if err != nil {
			return nil, nil, fmt.Errorf("ring %s: %w", ring, err)
		}
		p.ring, err = private.producer(wait, o)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("ring %s: %w", ring, err), private.close())
		}
		return private, func() error { return private.leave(s, p.ring) }, nil
	})
	if err != nil {
		return nil, err
	}
	p.wait = waiting{Context: context.Background(), a: p.a, limit: o.BlockTimeout}
	return p, nil
}

// claim makes this the only Producer of a ring and a name.
func (r *Remote) claim(key [2]string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	present := r.producing[key]
	for s := range r.held {
		present = present || s.ask.Mode == wire.LinkProduce && key == [2]string{s.ask.Ring, s.ask.Label}
	}
	if present {
		return fmt.Errorf("ring %s: this Remote has a Producer of it with the name %q already: close that, or take another name", key[0], key[1])
	}
	r.producing[key] = true
	return nil
}

func (r *Remote) unclaim(key [2]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.producing, key)
}

// newOutbound makes the private ring of a stream that was opened.
func (r *Remote) newOutbound(o wire.LinkOpenedFrame) (out *outbound, err error) {
	out = &outbound{remote: r, key: o.Key}
	if err := (shmring.Config{Capacity: o.Capacity, RecordMax: o.RecordMax, Epoch: o.Epoch, Key: o.Key, ConsumersMax: 1}).Validate(); err != nil {
		return nil, fmt.Errorf("%w: the gateway describes a ring that cannot be: %w", ErrProtocol, err)
	}
	capacity := min(outboundBytes, o.Capacity)
	for capacity < o.Capacity && shmring.RecordMaxFor(capacity) < uint64(o.RecordMax) {
		capacity *= 2
	}
	out.ring, err = shmring.CreatePrivate(shmring.Config{
		Capacity: capacity, RecordMax: o.RecordMax, Epoch: o.Epoch, Key: o.Key, ConsumersMax: 1,
	}, shmring.Boundary{Position: o.Position, Sequence: o.Sequence})
	if err != nil {
		return nil, err
	}
	if err := out.open(); err != nil {
		return nil, errors.Join(err, out.close())
	}
	return out, nil
}

// producer opens the private ring for its producer.
func (out *outbound) producer(wait shmring.WaitStrategy, o ProducerOptions) (*shmring.Producer, error) {
	if err := out.ring.BindProducer(0, shmring.Binding{Generation: 1}); err != nil {
		return nil, err
	}
	data, cursors, err := out.ring.LendProducer()
	if err != nil {
		return nil, err
	}
	return shmring.OpenProducer(data, cursors, shmring.ProducerOptions{Generation: 1, Wait: wait, OnFull: o.OnFull, Tag: o.Tag})
}

// open makes the reader that feeds the streams.
func (out *outbound) open() error {
	err := out.ring.BindConsumer(0, shmring.Binding{
		Generation: 1, Policy: shmring.PolicyBlock, Parks: true, NoMembarrier: !shmring.HasMembarrier(),
	})
	if err != nil {
		return err
	}
	data, cursor, err := out.ring.LendConsumer(0)
	if err != nil {
		return err
	}
	out.source, err = shmring.OpenConsumer(data, cursor, shmring.ConsumerOptions{
		Generation: 1, Policy: shmring.PolicyBlock, Wait: shmring.WaitPark, From: shmring.FromOldest(), Spans: true,
	})
	return err
}

func (out *outbound) held() shmring.Boundary { return out.kept() }

// kept is the boundary up to which the other side has published.
func (out *outbound) kept() shmring.Boundary {
	s := out.source.Stats()
	return shmring.Boundary{Position: s.Position, Sequence: s.Sequence}
}

func (out *outbound) owes() bool { return out.source.EndBoundary() != out.kept() }

// join goes on behind what the other side has published of this session.
func (out *outbound) join(l *line, id uint16, o wire.LinkOpenedFrame) error {
	at, kept := shmring.Boundary{Position: o.Position, Sequence: o.Sequence}, out.kept()
	if o.Key != out.key || at.Position < kept.Position || at.Sequence < kept.Sequence {
		return fmt.Errorf("the other side has forgotten this session: it has published up to record %d of it, and says %d", kept.Sequence, at.Sequence)
	}
	if err := out.source.Rewind(at); err != nil {
		return fmt.Errorf("%w: the other side has published up to record %d of this session: %w", ErrProtocol, at.Sequence, err)
	}
	return l.link.Supply(id, out.source)
}

// leave waits until all is published, ends the stream, and closes both sides of the
// private ring.
func (out *outbound) leave(s *stream, p *shmring.Producer) error {
	err := p.Abort()
	ctx, cancel := context.WithDeadline(context.Background(), out.remote.flushLimit())
	defer cancel()
	err = errors.Join(err, s.flush(ctx, shmring.Boundary{Position: p.Position(), Sequence: p.Sequence()}))
	s.hangUp(wire.CodeGoodbye)
	r := out.remote
	r.mu.Lock()
	defer r.mu.Unlock()
	out.leaveDoor()
	return errors.Join(err, p.Close(), out.close())
}

// watch has the door wait for records when all that there were are sent and more
// could be: otherwise an acknowledgement is what moves things.
func (out *outbound) watch(s protocol.StreamStatus) {
	end := out.source.EndBoundary()
	waits := s.Announced == end && s.Limit >= end.Position+shmring.AlignBytes
	switch {
	case !waits:
		out.leaveDoor()
	case !out.atDoor:
		out.atDoor = out.remote.door.Add(out.source) == nil // there are fewer streams than it has room for
	}
}

func (out *outbound) leaveDoor() {
	if out.atDoor {
		out.remote.door.Remove(out.source)
		out.atDoor = false
	}
}

func (out *outbound) close() (err error) {
	if out.source != nil {
		err = out.source.Close()
	}
	return errors.Join(err, out.ring.Close())
}
