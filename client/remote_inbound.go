package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	protocol "brokerd/internal/link"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// inbound is what a remote Consumer reads: a private ring with the geometry, epoch,
// key and positions of the ring over there, written by what comes over the stream.
// Its one reader gates, so nothing is lost here: what the policy lets go is lost at
// the origin, and told as missed.
type inbound struct {
	ring   *shmring.Ring
	mirror *shmring.Mirror
}

// Consumer attaches to a ring of the other host as a consumer. Errors are those of
// Client.Consumer.
func (r *Remote) Consumer(ctx context.Context, ring string, o ConsumerOptions) (*Consumer, error) {
	wait, err := checkConsumer(o)
	if err != nil {
		return nil, err
	}
	ask, err := readOf(ring, o)
	if err != nil {
		return nil, err
	}
	c := &Consumer{}
	in := wire.AttachIn{Ring: ring, Role: wire.RoleConsumer, Name: o.Name, Policy: o.Policy, WaitStrategy: o.WaitStrategy, Resume: o.From.Resumes()}
	c.a, err = r.attach(ctx, ask, in, func(granted wire.LinkOpenedFrame, s *stream) (cargo, func() error, error) {
		private, err := newInbound(granted, wait)
		if err != nil {
			return nil, nil, fmt.Errorf("ring %s: %w", ring, err)
		}
		c.ring, err = private.reader(granted, wait, o)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("ring %s: %w", ring, err), private.close())
		}
		return private, func() error { return private.leave(s, c.ring) }, nil
	})
	if err != nil {
		return nil, err
	}
	c.wait = waiting{Context: context.Background(), a: c.a}
	return c, nil
}

// readOf is the frame that asks to read a ring.
func readOf(ring string, o ConsumerOptions) (wire.LinkOpenFrame, error) {
	ask := wire.LinkOpenFrame{Mode: wire.LinkRead, Ring: ring, Label: o.Name}
	if !wire.ValidName(ring) || o.Name != "" && !wire.ValidLabel(o.Name) {
		return ask, wire.InvalidParameter("name", "ring %q, name %q: want at most %d of [a-zA-Z0-9._-], the first of a ring's name a letter or a digit", ring, o.Name, wire.NameBytesMax)
	}
	if o.Policy != "" {
		policy, err := shmring.ParsePolicy(string(o.Policy))
		if err != nil {
			return ask, err
		}
		ask.Policy = uint8(policy)
	}
	switch o.From {
	case FromLatest():
		ask.From = wire.LinkFromLatest
	case FromOldest():
		ask.From = wire.LinkFromOldest
	case FromResume():
		ask.From = wire.LinkFromResume
	default:
		position, err := strconv.ParseUint(o.From.String(), 10, 64)
		if err != nil {
			return ask, err
		}
		if position%shmring.AlignBytes != 0 || position >= wire.LinkPositionMax {
			return ask, fmt.Errorf("position %d: records start at multiples of %d, below 2^60", position, shmring.AlignBytes)
		}
		ask.From, ask.Position = wire.LinkFromPosition, position
	}
	return ask, nil
}

func policyOf(number uint8) Policy {
	if number == 0 {
		return ""
	}
	return Policy(shmring.Policy(number).String())
}

// newInbound makes the private ring of a stream that was opened.
func newInbound(o wire.LinkOpenedFrame, wait shmring.WaitStrategy) (in *inbound, err error) {
	in = &inbound{}
	in.ring, err = shmring.CreatePrivate(shmring.Config{
		Capacity: o.Capacity, RecordMax: o.RecordMax, Epoch: o.Epoch, Key: o.Key, ConsumersMax: 1,
		Many: o.Many, Timestamps: o.Timestamps, Checksum: o.Checksum, Mirror: true,
	}, shmring.Boundary{Position: o.Position, Sequence: o.Sequence})
	if err != nil {
		return nil, err
	}
	err = in.ring.BindConsumer(0, shmring.Binding{
		Generation: 1, Policy: privatePolicy(o), Parks: wait.Parks(), NoMembarrier: !shmring.HasMembarrier(),
	})
	if err != nil {
		return nil, errors.Join(err, in.close())
	}
	data, cursors, err := in.ring.LendProducer()
	if err == nil {
		in.mirror, err = shmring.OpenMirror(data, cursors, shmring.MirrorOptions{Missed: true, KeptByReaders: true})
	}
	if err != nil {
		return nil, errors.Join(err, in.close())
	}
	return in, nil
}

// privatePolicy is that of the reader here. One that wants the newest record only
// is to have it here, too.
func privatePolicy(o wire.LinkOpenedFrame) shmring.Policy {
	if shmring.Policy(o.Policy) == shmring.PolicyLatest {
		return shmring.PolicyLatest
	}
	return shmring.PolicyBlock
}

// reader opens the private ring.
func (in *inbound) reader(o wire.LinkOpenedFrame, wait shmring.WaitStrategy, of ConsumerOptions) (*shmring.Consumer, error) {
	data, cursor, err := in.ring.LendConsumer(0)
	if err != nil {
		return nil, err
	}
	return shmring.OpenConsumer(data, cursor, shmring.ConsumerOptions{
		Slot: 0, Generation: 1, Policy: privatePolicy(o), Wait: wait,
		From: shmring.FromPosition(o.Position), Tags: slices.Clone(of.Tags),
		KeepCursor: true, // by it the mirror knows what is read
	})
}

func (in *inbound) held() shmring.Boundary { return in.mirror.End() }
func (in *inbound) owes() bool             { return false }
func (in *inbound) kept() shmring.Boundary { return in.mirror.End() }

// watch has nothing to do: what comes wakes by itself, and the link looks how far
// the reader is.
func (in *inbound) watch(protocol.StreamStatus) {}

func (in *inbound) join(l *line, id uint16, o wire.LinkOpenedFrame) error {
	c := in.mirror.Config()
	if o.Capacity != c.Capacity || o.Key != c.Key || o.RecordMax != c.RecordMax {
		return fmt.Errorf("%w: the ring has another form and the same epoch %d", ErrProtocol, o.Epoch)
	}
	return l.link.Receive(id, in.mirror)
}

// leave tells how far the reader has come, ends the stream, and closes both sides
// of the private ring.
func (in *inbound) leave(s *stream, c *shmring.Consumer) error {
	_, _ = c.Poll(nil, 0) // it hands out nothing, and only errors that were told
	s.hangUp(wire.CodeGoodbye)
	return errors.Join(c.Close(), in.close())
}

// close closes the writing side, which no stream has any more.
func (in *inbound) close() (err error) {
	if in.mirror != nil {
		err = in.mirror.Close()
	}
	return errors.Join(err, in.ring.Close())
}
