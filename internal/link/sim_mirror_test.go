package link

import (
	"errors"
	"fmt"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// mirrorSim is one host that mirrors the ring of another.
type mirrorSim struct {
	*world
	policy shmring.Policy // of the reader at the origin
	parks  bool           // that reader stays while the connection is away
	origin *origin
	past   []*origin // of former epochs

	dial, accept *end
	retryAt      int64 // when to connect, or to ask for the stream again
	source       *shmring.Consumer
	sourceSlot   int
	sourceSlots  *slots
	stream       uint16
	asked        bool

	host    *mirrorHost
	old     []*mirrorHost
	gaps    uint64 // records
	tamper  string // what was changed on the way of the present connection
	stalled bool   // the network stood still for longer than the dead-peer time
	fresh   bool   // nothing was held for the stream before it started
	startAt uint64 // where it started
	ended   bool   // the dialer has ended a stream: what still comes for it is not looked at
}

const simDeadAfter = 3 * time.Second

func newMirrorSim(w *world) *mirrorSim {
	capacity := uint64(shmring.CapacityBytesMin) << w.rng.IntN(2)
	config := shmring.Config{
		Capacity: capacity, RecordMax: uint32(w.between(300, int(shmring.RecordMaxFor(capacity)))), Epoch: 7,
		Key: w.rng.Uint64() | 1<<62, ConsumersMax: 4, Many: w.chance(50), Timestamps: w.chance(50), Checksum: w.chance(30),
	}
	s := &mirrorSim{world: w, policy: shmring.Policy(w.between(1, 4)), parks: w.chance(50), origin: newOrigin(w, config)}
	w.note("capacity %d, record_max %d, policy %s, parks %v, many %v", capacity, config.RecordMax, s.policy, s.parks, config.Many)
	return s
}

// lossless: nothing may be lost, whatever the network does.
func (s *mirrorSim) lossless() bool { return s.policy == shmring.PolicyBlock && s.parks }

// dialNow makes a new connection.
func (s *mirrorSim) dialNow() {
	s.note("connect")
	frame := 1 << s.between(8, 18)
	output := 1 << s.between(10, 20)
	config := Config{Dialer: true, Name: "b", Agent: "sim", DeadAfter: simDeadAfter, FrameBytesMax: frame, OutputBytesMax: output}
	s.dial, s.accept = s.connect(config, Config{Name: "a", Agent: "sim", DeadAfter: simDeadAfter, FrameBytesMax: frame, OutputBytesMax: output},
		s.onDialer, s.onAcceptor)
	s.tamper, s.asked, s.stalled, s.ended = "", false, false, false
	changed := func(what string) {
		s.note("%s", what)
		s.tamper = what
	}
	s.accept.out.parser.applied = changed
	s.dial.turn()
}

func (s *mirrorSim) onDialer(e *end, event Event) {
	s.note("dialer: %s", eventText(event))
	switch event.Kind {
	case EventWelcome:
		s.ask()
	case EventOpened:
		if h := s.host; h != nil && h.truth.epoch != event.Opened.Epoch {
			s.old = append(s.old, h)
			s.host = nil
		}
		if s.host == nil {
			s.host = newMirrorHost(s.world, s.originOf(event.Opened.Epoch), event.Opened)
		}
		s.must(e.conn.Receive(event.Stream, s.host))
		s.startAt = event.Opened.Position
	case EventGap:
		s.gaps += event.Gap.Lost
		s.host.jumped = event.Gap.To
		if s.lossless() && !(s.fresh && event.Gap.Position == s.startAt) {
			s.wrong("a lossless stream has a gap: %+v", event.Gap)
		}
	case EventEnd:
		if event.Err != nil && s.tamper == "" {
			s.wrong("the mirror failed: %v", event.Err)
		}
		s.asked = false
		s.retryAt = s.now + int64(s.between(1, 50))*int64(time.Millisecond)
	case EventClose:
		e.finish = true
	}
}

// originOf is the ring of an epoch, which may be over already.
func (s *mirrorSim) originOf(epoch uint64) *origin {
	for _, o := range s.past {
		if o.truth.epoch == epoch {
			return o
		}
	}
	return s.origin
}

// ask opens the stream.
func (s *mirrorSim) ask() {
	o := wire.LinkOpenFrame{Mode: wire.LinkMirror, Ring: "feed", From: wire.LinkFromOldest}
	if s.host != nil {
		at := s.host.mirror.End()
		o.From, o.Epoch, o.Position, o.Sequence = wire.LinkFromHeld, s.host.truth.epoch, at.Position, at.Sequence
	}
	stream, err := s.dial.conn.Open(o)
	if errors.Is(err, ErrNotReady) { // closed together with the welcome
		return
	}
	s.must(err)
	s.stream, s.asked = stream, true
}

func (s *mirrorSim) onAcceptor(e *end, event Event) {
	s.note("acceptor: %s", eventText(event))
	switch event.Kind {
	case EventHello:
		e.conn.Welcome(s.now)
	case EventOpen:
		s.serve(e, event)
	case EventEnd:
		if event.Err != nil && !errors.Is(event.Err, shmring.ErrRemoved) {
			s.wrong("the reader failed: %v", event.Err)
		}
		s.dropSource()
	case EventClose:
		e.finish = true
	}
}

// serve goes on with the reader that was parked, or attaches one where the peer
// wants to go on.
func (s *mirrorSim) serve(e *end, event Event) {
	o := event.Open
	held := o.From == wire.LinkFromHeld && o.Epoch == s.origin.config.Epoch
	if s.source != nil {
		err := errors.New("it starts anew")
		if held && s.sourceSlots == s.origin.slots {
			err = s.source.Rewind(shmring.Boundary{Position: o.Position, Sequence: o.Sequence})
		}
		if err != nil {
			s.note("the parked reader goes: %v", err)
			s.dropSource()
		}
	}
	if s.fresh = s.source == nil; s.fresh {
		s.attach(held, o.Position)
	}
	c := s.origin.ring.Config()
	err := e.conn.Serve(event.Stream, wire.LinkOpenedFrame{
		Many: c.Many, Timestamps: c.Timestamps, Checksum: c.Checksum, RecordMax: c.RecordMax, Capacity: c.Capacity, Key: c.Key,
	}, s.source)
	if !errors.Is(err, ErrStream) && !errors.Is(err, ErrNotReady) { // its end came together with it
		s.must(err)
	}
}

func (s *mirrorSim) attach(held bool, position uint64) {
	binding := shmring.Binding{Policy: s.policy, DemoteAfter: time.Nanosecond}
	options := shmring.ConsumerOptions{From: shmring.FromOldest(), Spans: true}
	if held {
		options.From = shmring.FromPosition(position)
	}
	source, slot, err := s.origin.slots.lend(binding, options)
	if gone := (*shmring.PositionError)(nil); errors.As(err, &gone) {
		if gone.Inside || gone.Wanted > gone.Newest {
			s.wrong("the held position is refused: %v", err)
		}
		options.From = shmring.FromOldest()
		source, slot, err = s.origin.slots.lend(binding, options)
	}
	s.must(err)
	s.source, s.sourceSlot, s.sourceSlots = source, slot, s.origin.slots
}

func (s *mirrorSim) dropSource() {
	if s.source != nil {
		s.must(s.source.Close())
		s.must(s.sourceSlots.free(s.sourceSlot))
		s.source = nil
	}
}

// gone tidies up when both sockets are closed.
func (s *mirrorSim) gone() {
	s.verdict(s.dial)
	s.verdict(s.accept)
	s.dial, s.accept = nil, nil
	if !s.parks {
		s.dropSource()
	}
	s.retryAt = s.now + int64(s.between(1, 200))*int64(time.Millisecond)
}

// verdict checks that a connection failed only for what was done to it.
func (s *mirrorSim) verdict(e *end) {
	if e.failed == nil {
		return
	}
	ok := false
	switch e.failed.Code {
	case wire.CodeSilent:
		ok = s.stalled || s.tamper != ""
	case wire.CodeInternal: // overwritten under way
		ok = s.policy == shmring.PolicyDemote && e == s.accept
	case wire.CodeChecksum:
		ok = s.tamper != "" && (s.accept.out.parser.flip || s.ended) || s.accept.failed != nil && s.accept.failed.Code == wire.CodeInternal
	case wire.CodePosition:
		f := s.accept.out.parser.forge
		ok = s.tamper != "" && (f == forgeSequence || f == forgePosition || f == forgeEpoch)
	case wire.CodeProtocol:
		ok = s.tamper != "" && s.accept.out.parser.forge == forgeStream
	}
	if !ok {
		s.wrong("%s failed, and nothing was done to it: %v", e.name, e.failed)
	}
}

func eventText(e Event) string {
	switch e.Kind {
	case EventHello, EventWelcome:
		return "greeted"
	case EventOpen:
		return fmt.Sprintf("open %+v", e.Open)
	case EventOpened:
		return fmt.Sprintf("opened at %d/%d of epoch %d", e.Opened.Position, e.Opened.Sequence, e.Opened.Epoch)
	case EventEnd:
		return fmt.Sprintf("end of %d: %s %s %v", e.Stream, e.End.Code, e.End.Message, e.Err)
	case EventGap:
		return fmt.Sprintf("gap %d/%d to %d, lost %d", e.Gap.Position, e.Gap.Sequence, e.Gap.To, e.Gap.Lost)
	}
	return fmt.Sprintf("close: %s %s", e.Close.Code, e.Close.Message)
}
