package link

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"time"

	"brokerd/internal/shmring"
)

// The simulator: both ends of a connection are real Conns over real rings; time
// and the network between them come from one seed.

// world is what a schedule happens in.
type world struct {
	rng   *rand.Rand
	now   int64
	trace []string
}

func newWorld(seed uint64) *world {
	return &world{rng: rand.New(rand.NewPCG(seed, 0x6C696E6B)), now: int64(time.Second)}
}

// wrong is what a schedule ends with when something is not as it must be.
type wrong struct{ message string }

func (w *world) wrong(format string, args ...any) {
	panic(wrong{fmt.Sprintf(format, args...) + "\n" + strings.Join(w.trace[max(0, len(w.trace)-40):], "\n")})
}

func (w *world) must(err error) {
	if err != nil {
		w.wrong("unexpected: %v", err)
	}
}

func (w *world) note(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%9.3f ms  ", float64(w.now)/1e6)+fmt.Sprintf(format, args...))
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

func (w *world) between(low, high int) int { return low + w.rng.IntN(high-low+1) }

// fact is what is known of one sequence number: a record, or that it was lost
// at its origin.
type fact struct {
	position  uint64
	timestamp int64
	length    int
	sum       uint32
	tag       uint16
	lost      bool
}

func factOf(r shmring.Record) fact {
	return fact{
		position: r.Position, timestamp: r.Timestamp, length: len(r.Payload), tag: r.Tag,
		sum: crc32.Checksum(r.Payload, crc32.MakeTable(crc32.Castagnoli)),
	}
}

// truth is all that was ever published in an epoch, by sequence number.
type truth struct {
	epoch uint64
	facts []fact
}

// slots are the consumer slots of a ring that a test lends.
type slots struct {
	ring       *shmring.Ring
	generation uint32
	used       []bool
}

func newSlots(ring *shmring.Ring) *slots {
	return &slots{ring: ring, used: make([]bool, ring.Config().ConsumersMax)}
}

// lend opens a reader in a free slot, -1 when there is none.
func (s *slots) lend(b shmring.Binding, o shmring.ConsumerOptions) (*shmring.Consumer, int, error) {
	for slot, used := range s.used {
		if used {
			continue
		}
		s.generation++
		b.Generation = s.generation
		if err := s.ring.BindConsumer(slot, b); err != nil {
			return nil, -1, err
		}
		data, cursor, err := s.ring.LendConsumer(slot)
		if err != nil {
			return nil, -1, err
		}
		o.Slot, o.Generation, o.Policy = slot, s.generation, b.Policy
		c, err := shmring.OpenConsumer(data, cursor, o)
		if err != nil {
			return nil, -1, fmt.Errorf("open: %w", errors.Join(err, s.ring.UnbindConsumer(slot)))
		}
		s.used[slot] = true
		return c, slot, nil
	}
	return nil, -1, nil
}

func (s *slots) free(slot int) error {
	s.used[slot] = false
	return s.ring.UnbindConsumer(slot)
}

// origin is the ring that is mirrored, its producers, and an observer that knows
// the truth.
type origin struct {
	w         *world
	config    shmring.Config
	ring      *shmring.Ring
	slots     *slots
	producers []*shmring.Producer
	observer  *shmring.Consumer
	truth     *truth
	buf       []byte
}

func newOrigin(w *world, config shmring.Config) *origin {
	o := &origin{w: w, config: config, truth: &truth{epoch: config.Epoch}, buf: make([]byte, config.RecordMax)}
	var err error
	o.ring, err = shmring.CreatePrivate(config, shmring.Boundary{})
	w.must(err)
	o.slots = newSlots(o.ring)
	count := 1
	if config.Many {
		count = w.between(1, 3)
	}
	for slot := range count {
		o.producers = append(o.producers, openProducer(w, o.ring, slot))
	}
	o.observer, _, err = o.slots.lend(shmring.Binding{Policy: shmring.PolicySkip}, shmring.ConsumerOptions{From: shmring.FromOldest()})
	w.must(err)
	return o
}

func openProducer(w *world, ring *shmring.Ring, slot int) *shmring.Producer {
	w.must(ring.BindProducer(slot, shmring.Binding{Generation: 1}))
	data, cursors, err := ring.LendProducer()
	w.must(err)
	p, err := shmring.OpenProducer(data, cursors, shmring.ProducerOptions{Slot: slot, Generation: 1, OnFull: shmring.OnFullFail})
	w.must(err)
	return p
}

// payload is a record of random length and content.
func (w *world) payload(buf []byte) []byte {
	n := w.between(0, 200)
	switch {
	case w.chance(15):
		n = w.between(0, len(buf))
	case w.chance(3):
		n = len(buf)
	}
	n = min(n, len(buf))
	for i := 0; i < n; i += 8 {
		v := w.rng.Uint64()
		for j := i; j < min(i+8, n); j++ {
			buf[j] = byte(v)
			v >>= 8
		}
	}
	return buf[:n]
}

// publish does one thing with one of the producers; held: a reader is in the way.
func (o *origin) publish() (held bool) {
	w := o.w
	p := o.producers[w.rng.IntN(len(o.producers))]
	p.SetTag(uint16(w.rng.IntN(4)))
	var err error
	switch {
	case w.chance(3):
		err = p.End(context.Background())
	case w.chance(4):
		if _, err = p.Reserve(context.Background(), w.between(0, 100)); err == nil {
			err = p.Abort()
		}
	default:
		err = p.TrySend(w.payload(o.buf))
	}
	if err == shmring.ErrFull {
		return true
	}
	w.must(err)
	o.observe()
	return false
}

// observe learns what was published.
func (o *origin) observe() {
	for {
		r, err := o.observer.TryReceive()
		switch err {
		case shmring.ErrEndOfStream:
			continue
		case shmring.ErrEmpty:
			for uint64(len(o.truth.facts)) < o.observer.Sequence() {
				o.truth.facts = append(o.truth.facts, fact{lost: true})
			}
			return
		}
		o.w.must(err)
		if r.Missed > 0 {
			o.w.wrong("the observer was overrun")
		}
		for uint64(len(o.truth.facts)) < r.Sequence {
			o.truth.facts = append(o.truth.facts, fact{lost: true})
		}
		o.truth.facts = append(o.truth.facts, factOf(r))
	}
}

func (o *origin) close() {
	for _, p := range o.producers {
		o.w.must(p.Close())
	}
	o.w.must(o.observer.Close())
	o.w.must(o.ring.Close())
}
