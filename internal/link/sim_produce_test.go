package link

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// produceSim is one program without a brokerd that publishes into a ring of
// another host, through a bad network.
type produceSim struct {
	*world
	session  [16]byte
	target   *origin
	shared   *shmring.Producer // of the acceptor
	journal  map[[16]byte]shmring.Boundary
	consumer *shmring.Consumer // that holds the target's producers
	frozen   int64

	private  *shmring.Ring // of the client
	slots    *slots
	producer *shmring.Producer
	source   *shmring.Consumer
	slot     int
	counter  uint64   // records published by the client
	sums     []uint32 // of their payloads
	checked  int      // of those seen in the target
	buf      []byte

	dial, accept *end
	retryAt      int64
	publisher    *simPublisher
	stalled      bool
	flipped      bool
}

func newProduceSim(w *world) *produceSim {
	config := shmring.Config{
		Capacity: shmring.CapacityBytesMin, RecordMax: uint32(w.between(300, 6000)), Epoch: 3,
		Key: w.rng.Uint64() | 1<<62, ConsumersMax: 3, Many: w.chance(50), Timestamps: w.chance(50), Checksum: w.chance(30),
	}
	s := &produceSim{world: w, journal: map[[16]byte]shmring.Boundary{}, buf: make([]byte, config.RecordMax)}
	binary.LittleEndian.PutUint64(s.session[:], w.rng.Uint64())
	s.target = newOrigin(w, config)
	s.shared = s.target.producers[0]
	var err error
	s.consumer, _, err = s.target.slots.lend(shmring.Binding{Policy: shmring.PolicyBlock}, shmring.ConsumerOptions{From: shmring.FromOldest()})
	w.must(err)
	return s
}

// seen checks what has come out at the target: every record once, in order.
func (s *produceSim) seen() {
	s.target.observe()
	for facts := s.target.truth.facts; s.checked < len(facts); s.checked++ {
		f := facts[s.checked]
		if s.checked >= len(s.sums) || f.lost || f.sum != s.sums[s.checked] {
			s.wrong("record %d of the ring is not record %d of the %d that were produced", s.checked, s.checked, len(s.sums))
		}
	}
}

func (s *produceSim) dialNow() {
	s.note("connect")
	config := Config{Dialer: true, Name: "client", Session: s.session, FrameBytesMax: 1 << s.between(8, 16), OutputBytesMax: 1 << s.between(9, 18)}
	if s.chance(50) {
		config.DeadAfter = simDeadAfter
	}
	s.dial, s.accept = s.connect(config, Config{Name: "a", DeadAfter: simDeadAfter}, s.onDialer, s.onAcceptor)
	s.stalled, s.flipped = false, false
	s.dial.out.parser.applied = func(what string) {
		s.note("%s", what)
		s.flipped = true
	}
	s.dial.turn()
}

func (s *produceSim) onDialer(e *end, event Event) {
	s.note("client: %s", eventText(event))
	switch event.Kind {
	case EventWelcome:
		_, err := e.conn.Open(wire.LinkOpenFrame{Mode: wire.LinkProduce, Ring: "feed"})
		if !errors.Is(err, ErrNotReady) { // closed together with the welcome
			s.must(err)
		}
	case EventOpened:
		s.goOn(event.Opened)
		s.must(e.conn.Supply(event.Stream, s.source))
	case EventClose, EventEnd:
		e.finish = true
	}
}

// goOn makes the private ring, or goes back in it to what was published.
func (s *produceSim) goOn(o wire.LinkOpenedFrame) {
	at := shmring.Boundary{Position: o.Position, Sequence: o.Sequence}
	if s.private != nil {
		s.must(s.source.Rewind(at))
		return
	}
	var err error
	s.private, err = shmring.CreatePrivate(shmring.Config{
		Capacity: o.Capacity, RecordMax: o.RecordMax, Epoch: o.Epoch, Key: o.Key, ConsumersMax: 1,
	}, at)
	s.must(err)
	s.slots = newSlots(s.private)
	s.source, s.slot, err = s.slots.lend(shmring.Binding{Policy: shmring.PolicyBlock}, shmring.ConsumerOptions{From: shmring.FromOldest(), Spans: true})
	s.must(err)
	s.producer = openProducer(s.world, s.private, 0)
}

func (s *produceSim) onAcceptor(e *end, event Event) {
	s.note("acceptor: %s", eventText(event))
	switch event.Kind {
	case EventHello:
		e.conn.Welcome(s.now)
	case EventOpen:
		if s.publisher == nil {
			at := s.journal[s.session]
			config := s.target.config
			s.publisher = &simPublisher{s: s, config: config, received: at.Position, published: at}
		}
		// What waits to be published is thrown away: the client has it still.
		p := s.publisher
		p.queue, p.received = nil, p.published.Position
		c := s.target.config
		err := e.conn.Take(event.Stream, wire.LinkOpenedFrame{
			RecordMax: c.RecordMax, Capacity: c.Capacity, Key: c.Key, Epoch: c.Epoch,
			Position: p.published.Position, Sequence: p.published.Sequence,
		}, p)
		if !errors.Is(err, ErrStream) && !errors.Is(err, ErrNotReady) {
			s.must(err)
		}
	case EventClose, EventEnd:
		if event.Err != nil {
			s.wrong("publishing failed: %v", event.Err)
		}
		e.finish = true
	}
}

func (s *produceSim) gone() {
	for _, e := range []*end{s.dial, s.accept} {
		if f := e.failed; f != nil && !(f.Code == wire.CodeSilent && s.stalled) && !(f.Code == wire.CodeChecksum && s.flipped) {
			s.wrong("%s failed, and nothing was done to it: %v", e.name, f)
		}
	}
	s.dial, s.accept = nil, nil
	s.retryAt = s.now + int64(s.between(1, 100))*int64(time.Millisecond)
}

func (s *produceSim) produce() {
	for range s.between(1, 25) {
		if s.producer == nil {
			return
		}
		s.producer.SetTag(uint16(s.counter))
		if s.chance(3) {
			if err := s.producer.End(context.Background()); err != shmring.ErrFull {
				s.must(err)
			}
			continue
		}
		payload := s.payload(s.buf)
		err := s.producer.TrySend(payload)
		if err == shmring.ErrFull {
			return
		}
		s.must(err)
		s.sums = append(s.sums, factOf(shmring.Record{Payload: payload}).sum)
		s.counter++
	}
}

func (s *produceSim) consume(limit int) {
	for range limit {
		_, err := s.consumer.TryReceive()
		if err == shmring.ErrEmpty {
			return
		}
		s.must(err)
	}
}

func (s *produceSim) step() {
	s.now += s.rng.Int64N(int64(4 * time.Millisecond))
	switch n := s.rng.IntN(100); {
	case n < 50:
		s.produce()
	case n < 80 && s.now >= s.frozen:
		s.consume(s.between(1, 100))
		if s.chance(4) {
			s.frozen = s.now + s.rng.Int64N(int64(time.Second))
		}
	case n < 92 && s.dial != nil:
		s.disturb()
	}
	s.work(s.between(0, 6))
}

func (s *produceSim) disturb() {
	p := []*pipe{s.dial.out, s.accept.out}[s.rng.IntN(2)]
	switch n := s.rng.IntN(100); {
	case n < 35:
		p.stall = s.now + s.rng.Int64N(int64(300*time.Millisecond))
	case n < 45:
		p.stall = s.now + s.rng.Int64N(int64(2*simDeadAfter))
		s.stalled = true
	case n < 60:
		s.reset(s.dial, s.accept)
		s.gone()
	case n < 75:
		[]*end{s.dial, s.accept}[s.rng.IntN(2)].close()
	case n < 85:
		s.dial.out.parser.plan(true, forgeNothing)
	default:
		s.note("the acceptor is killed")
		s.reset(s.dial, s.accept)
		s.gone()
		s.publisher = nil
	}
}

func (s *produceSim) work(rounds int) {
	if s.dial == nil && s.now >= s.retryAt {
		s.dialNow()
	}
	for range rounds {
		if s.dial == nil {
			return
		}
		if s.chance(70) {
			s.dial.turn()
		}
		moved := s.move(s.dial, s.accept)
		if s.dial.closed && s.accept.closed {
			s.gone()
			return
		}
		if s.source != nil && s.source.Stats().Position > s.journal[s.session].Position {
			s.wrong("acknowledged up to position %d, published up to %+v", s.source.Stats().Position, s.journal[s.session])
		}
		if !moved {
			return
		}
	}
}

func (s *produceSim) settle() {
	s.note("settle")
	for range 20000 {
		if s.dial != nil {
			s.dial.out.stall, s.accept.out.stall = min(s.dial.out.stall, s.now), min(s.accept.out.stall, s.now)
			s.dial.out.parser.done = true
		}
		s.consume(1000)
		s.work(10)
		if s.source != nil && s.source.Stats().Position == s.source.EndBoundary().Position && s.checked == len(s.sums) && s.dial != nil {
			return
		}
		s.now += int64(time.Millisecond)
	}
	text := ""
	if s.dial != nil {
		text = fmt.Sprintf("%+v %+v", s.dial.conn.Streams(), s.accept.conn.Streams())
	}
	s.wrong("stuck: %d of %d records published %s", s.checked, len(s.sums), text)
}

func (s *produceSim) closeAll() {
	s.must(s.source.Close())
	s.must(s.producer.Close())
	s.must(s.private.Close())
	s.must(s.consumer.Close())
	s.target.close()
}

// TestEveryRecordIsPublishedOnce: whatever the network does, what a remote
// producer has published is in the ring once, in order.
func TestEveryRecordIsPublishedOnce(t *testing.T) {
	simulate(t, func(w *world) {
		s := newProduceSim(w)
		for range w.between(50, 250) {
			s.step()
		}
		s.settle()
		s.closeAll()
	})
}
