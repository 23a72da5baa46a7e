//go:build ringstep

package shmring

import (
	"errors"
	"fmt"
	"time"

	"brokerd/internal/stepping"
)

// tending is everybody but a daemon that lends slots and takes them back, and the
// daemon that comes after it.
type tending struct {
	stepStage
	op stepTend
	w  *stepWriter // nil where the operation is about the only producer
}

// stepTend is what a daemon does.
type stepTend struct {
	name  string
	many  bool
	alone bool                   // no producer is attached meanwhile
	setup func(s *tending) error // may be nil
	run   func(r *Ring, generation uint32) error
	held  func(s *tending) bool // whether somebody holds the producer at this moment; nil for no
	after func(s *tending, generation uint32) error
}

func (s *tending) Open(dir string) (err error) {
	if err := s.begin(dir, stepConfig(s.op.many)); err != nil {
		return err
	}
	if !s.op.alone {
		if s.w, err = s.write(int(b2n(s.op.many)), 2, stepOther); err != nil {
			return err
		}
	}
	if s.op.setup != nil {
		err = s.op.setup(s)
	}
	return errors.Join(err, s.drain(true))
}

// ready: this process is no daemon any more (own.go), until the next one begins.
func (s *tending) Ready([]uint64) error { return s.ring.Close() }

func (s *tending) nextDaemon() (err error) {
	if s.ring, err = Open(s.ring.dir); err == nil {
		s.opened = append(s.opened, s.ring.Close)
	}
	return err
}

// bytes is the data file, whoever is the daemon.
func (s *tending) bytes() []byte { return s.readers[stepBlockSlot].c.b }

func (s *tending) Stopped(bool) error { return s.others() }

func (s *tending) others() error {
	if s.w == nil {
		return s.drain(true)
	}
	want := s.op.held != nil && s.op.held(s)
	held, err := s.push(s.w, 2*stepLap)
	if errors.Is(err, ErrRemoved) && State(load32(s.bytes(), offState)) == StateRemoved {
		return nil
	}
	if err == nil && held != want {
		err = fmt.Errorf("the producer is held: %t, to be expected: %t", held, want)
	}
	return errors.Join(err, s.drain(true))
}

func (s *tending) Dead() (int, error) {
	if err := s.others(); err != nil {
		return 0, fmt.Errorf("while no daemon runs: %w", err)
	}
	if err := s.nextDaemon(); err != nil {
		return 0, err
	}
	if err := s.op.run(s.ring, 3); err != nil {
		return 0, fmt.Errorf("the next daemon: %w", err)
	}
	return 0, s.op.after(s, 3)
}

func (s *tending) Idle() error             { return nil }
func (s *tending) Done() ([]uint64, error) { return nil, nil }

func (s *tending) Ended([]uint64, bool) error {
	if err := s.nextDaemon(); err != nil {
		return err
	}
	return s.op.after(s, 2)
}

// lastReader begins a reader in the fourth slot that then reads no more, and dies.
func (s *tending) lastReader(policy Policy, keep bool) error {
	b := stepReading{policy: policy, demote: 1}.binding(1)
	if err := s.ring.BindConsumer(stepFourthSlot, b); err != nil {
		return err
	}
	c, err := stepConsumer(s.ring, stepFourthSlot, b, ConsumerOptions{From: FromLatest(), KeepCursor: keep})
	if err != nil {
		return err
	}
	if err := s.free(s.w, 3*stepRecordBytes); err != nil {
		return err
	}
	if _, err := c.TryReceive(); err != nil {
		return err
	}
	return c.unmap()
}

// lapReader overruns that reader if it may be demoted.
func (s *tending) lapReader() error {
	if err := s.lastReader(PolicyDemote, true); err != nil {
		return err
	}
	return s.free(s.w, 2*stepLap)
}

// goOn: a reader in the fourth slot, if there is one, and all others read on.
func (s *tending) goOn() error { return errors.Join(s.free(s.w, stepLap*5/4), s.audit(0)) }

func (s *tending) newReader(generation uint32, policy Policy, from Start, opened func(c *Consumer) error) error {
	o := ConsumerOptions{From: from, KeepCursor: from.Resumes()}
	c, err := stepConsumer(s.ring, stepFourthSlot, Binding{Generation: generation, Policy: policy}, o)
	if err != nil {
		return err
	}
	r := &stepReader{c: c, whole: policy == PolicyBlock, follows: true, last: map[uint64]uint64{}}
	s.readers, s.opened = append(s.readers, r), append(s.opened, c.Close)
	return errors.Join(opened(c), s.goOn())
}

// newWriter opens the producer in a slot that was bound.
func (s *tending) newWriter(slot int, generation uint32) error {
	p, err := stepOpenProducer(s.ring, slot, generation)
	if err != nil {
		return err
	}
	w := &stepWriter{p: p, who: stepNext}
	s.writers, s.opened = append(s.writers, w), append(s.opened, p.Close)
	return errors.Join(s.free(w, 2*stepLap), s.audit(0))
}

// unbound: the slot is free, what sleepers are told is right, and it can be lent again.
func (s *tending) unbound(slot int) error {
	bound, err := s.ring.ProducerBound(slot)
	waiters, noWake := load32(s.ring.b, offSpaceWaiters), load32(s.ring.b, offNoWake)
	if err != nil || bound || noWake != 0 || s.op.alone && waiters != 0 {
		return fmt.Errorf("bound %t, %d waiters, %d who cannot wake, %v", bound, waiters, noWake, err)
	}
	if err := s.ring.BindProducer(slot, Binding{Generation: 4}); err != nil {
		return err
	}
	return s.newWriter(slot, 4)
}

// removed: everybody learns it.
func (s *tending) removed() error {
	if err := s.w.send(100); !errors.Is(err, ErrRemoved) {
		return fmt.Errorf("a producer: %v", err)
	}
	for _, r := range s.readers {
		if err := r.drain(); !errors.Is(err, ErrRemoved) {
			return fmt.Errorf("%s reader: %v", r.c.policy, err)
		}
	}
	return nil
}

func tendOp(op stepTend) stepping.Op {
	op.name = "daemon: " + op.name
	return stepping.Op{
		Name: op.name,
		Part: func() stepping.Part { return &tending{op: op} },
		Child: stepIn(func(c *stepChild) (func() error, error) {
			return func() error { return op.run(c.ring, 2) }, nil
		}),
	}
}

// stepZombieGate is what a reader whose slot was taken back may still write.
func stepZombieGate(s *tending) error {
	if err := s.lastReader(PolicyBlock, false); err != nil {
		return err
	}
	if err := s.ring.UnbindConsumer(stepFourthSlot); err != nil {
		return err
	}
	store64(s.ring.m.cursors[stepFourthSlot], cuGate, s.w.p.tail)
	return nil
}

func stepPolicyOf(s *tending) Policy {
	return Policy(load32(s.bytes(), consumerEntry(stepFourthSlot)+csPolicy))
}

func stepsOfDaemon() []stepping.Op {
	block := func(generation uint32) Binding {
		return Binding{Generation: generation, Policy: PolicyBlock, Parks: true}
	}
	bindProducer := func(slot int) func(*Ring, uint32) error {
		return func(r *Ring, generation uint32) error { return r.BindProducer(slot, Binding{Generation: generation}) }
	}
	unbindProducer := func(slot int) func(*Ring, uint32) error {
		return func(r *Ring, _ uint32) error { return r.UnbindProducer(slot) }
	}
	unbound := func(slot int) func(*tending, uint32) error {
		return func(s *tending, _ uint32) error { return s.unbound(slot) }
	}
	opens := func(slot int) func(*tending, uint32) error {
		return func(s *tending, generation uint32) error { return s.newWriter(slot, generation) }
	}
	noWake := func(slot int) func(*tending) error {
		return func(s *tending) error {
			add32(s.ring.b, offSpaceWaiters, 1) // of a producer that was killed in its sleep
			return s.ring.BindProducer(slot, Binding{Generation: 1, NoFutex: true})
		}
	}
	tends := []stepTend{
		{name: "bind the producer", alone: true, run: bindProducer(0), after: opens(0)},
		{name: "bind one of many producers", many: true, run: bindProducer(2), after: opens(2)},
		{name: "unbind the producer", alone: true, setup: noWake(0), run: unbindProducer(0), after: unbound(0)},
		{name: "unbind one of many producers", many: true, setup: noWake(2), run: unbindProducer(2), after: unbound(2)},
		{
			name: "bind a reader", setup: stepZombieGate,
			run: func(r *Ring, generation uint32) error { return r.BindConsumer(stepFourthSlot, block(generation)) },
			after: func(s *tending, generation uint32) error {
				return s.newReader(generation, PolicyBlock, FromOldest(), func(*Consumer) error { return nil })
			},
		},
		{
			name:  "unbind a reader",
			setup: func(s *tending) error { return s.lastReader(PolicyBlock, false) },
			run:   func(r *Ring, _ uint32) error { return r.UnbindConsumer(stepFourthSlot) },
			held:  func(s *tending) bool { return stepPolicyOf(s) != 0 },
			after: func(s *tending, _ uint32) error { return s.goOn() },
		},
		{
			name:  "lend a cursor to a reader",
			setup: func(s *tending) error { return s.lastReader(PolicyBlock, true) },
			run:   func(r *Ring, generation uint32) error { return r.ResumeConsumer(stepFourthSlot, block(generation)) },
			held:  func(*tending) bool { return true },
			after: func(s *tending, generation uint32) error {
				return s.newReader(generation, PolicyBlock, FromResume(), func(c *Consumer) error { return resumedAt(c, 0) })
			},
		},
		{
			name: "lend a demoted cursor to a reader", setup: (*tending).lapReader,
			run: func(r *Ring, generation uint32) error {
				return r.ResumeConsumer(stepFourthSlot, Binding{Generation: generation, Policy: PolicyDemote, DemoteAfter: time.Hour})
			},
			after: func(s *tending, generation uint32) error {
				return s.newReader(generation, PolicyDemote, FromResume(), func(c *Consumer) error { return resumedAt(c, stepLap/2/stepRecordBytes) })
			},
		},
		{
			name: "tell that the ring is gone", run: func(r *Ring, _ uint32) error { return r.SetState(StateRemoved) },
			after: func(s *tending, _ uint32) error { return s.removed() },
		},
	}
	var ops []stepping.Op
	for _, op := range tends {
		ops = append(ops, tendOp(op))
	}
	return ops
}

// resumedAt: it goes on at a cursor, having missed at least that many records, or none.
func resumedAt(c *Consumer, missed uint64) error {
	if got := c.stats.MissedRecords; !c.Resumed() || missed == 0 && got != 0 || got < missed {
		return fmt.Errorf("resumed %t, missed %d records, to be expected were %d", c.Resumed(), got, missed)
	}
	return nil
}
