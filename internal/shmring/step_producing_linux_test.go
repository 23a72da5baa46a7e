//go:build ringstep

package shmring

import (
	"errors"
	"fmt"
)

// producing is everybody but a producer that is stopped: with many, another producer.
type producing struct {
	stepStage
	many    bool
	pending uint64 // records that the operation publishes
	twice   uint64 // that the ring's statistics may count twice (producer.drop, Ring.repair)
	full    bool   // readers leave the ring full until it is stopped
	slow    bool   // there is a reader that does not read, to be demoted
	alone   bool   // no reader gates: open claims alone keep others from a lap
	cut     bool   // what is stopped is the daemon that repairs: the producer is dead

	noted bool // what it publishes is noted in a journal

	other  *stepWriter
	victim *stepWriter
}

func (s *producing) Open(dir string) error {
	s.loose = s.alone
	if err := s.begin(dir, stepConfig(s.many)); err != nil {
		return err
	}
	if s.many {
		var err error
		if s.other, err = s.write(1, 1, stepOther); err != nil {
			return err
		}
		if err := s.free(s.other, 3*stepRecordBytes); err != nil {
			return err
		}
	}
	if s.slow {
		if _, err := s.read(stepFourthSlot, Binding{Generation: 1, Policy: PolicyDemote, DemoteAfter: 1}, ConsumerOptions{From: FromLatest()}); err != nil {
			return err
		}
	}
	s.victim = &stepWriter{who: stepVictimID}
	s.writers = append(s.writers, s.victim)
	return errors.Join(s.drain(true), s.ring.BindProducer(0, Binding{Generation: 2}))
}

// ready makes the lossless reader look asleep, so that there is somebody to wake.
func (s *producing) Ready(said []uint64) error {
	s.victim.sent = said[0]
	add32(s.readers[stepBlockSlot].c.page, cuSleep, 1)
	if s.full {
		return nil
	}
	return s.drain(true)
}

func (s *producing) Stopped(evicted bool) error {
	if evicted {
		if err := s.ring.UnbindProducer(0); err != nil {
			return err
		}
	}
	return s.others()
}

// others go on: readers; and another producer for two laps, unless a claim is open.
// Then it is held before it would lap that, and readers wait there.
func (s *producing) others() error {
	if err := s.drain(true); err != nil {
		return err
	}
	if !s.many {
		return s.newcomer()
	}
	open, err := s.ring.OpenClaims()
	if err != nil {
		return err
	}
	held, err := s.push(s.other, 2*stepLap)
	if err != nil {
		return err
	}
	if held != (len(open) > 0) {
		return fmt.Errorf("the other producer is held: %t, open claims: %+v", held, open)
	}
	if held {
		at, block := open[0].Position, s.readers[stepBlockSlot].c.Position()
		if open[0].Slot != 0 || block < at || block >= at+s.ring.claimMax || s.other.p.tail > at+s.ring.capacity {
			return fmt.Errorf("open claims %+v; the lossless reader is at %d, the other producer at %d", open, block, s.other.p.tail)
		}
	}
	return s.drain(true)
}

// newcomer attaches a reader.
func (s *producing) newcomer() error {
	if s.slow {
		return nil // its slot is taken
	}
	r, err := s.read(stepFourthSlot, Binding{Generation: 1, Policy: PolicyBlock}, ConsumerOptions{From: FromOldest()})
	if err != nil {
		return err
	}
	return r.drain()
}

func (s *producing) Idle() error { return s.drain(true) }

func (s *producing) Dead() (outcome int, err error) {
	if err := s.others(); err != nil {
		return 0, fmt.Errorf("while no daemon runs: %w", err)
	}
	if err := s.settle(); err != nil {
		return 0, err
	}
	gaps, err := s.ring.Repair(0)
	if err != nil {
		return 0, err
	}
	delivered, err := s.next()
	if err != nil {
		return 0, err
	}
	lost := s.readers[stepBlockSlot].c.Stats().GapRecords
	if uint64(gaps) > lost || delivered+lost > max(s.pending, 1) {
		return 0, fmt.Errorf("the repair made a gap of %d records; %d were delivered, %d are in gaps", gaps, delivered, lost)
	}
	return int(2*delivered + lost), nil
}

// next is the next producer, and then the books. It returns how many records of the
// operation were delivered.
func (s *producing) next() (delivered uint64, err error) {
	if err := s.ring.UnbindProducer(0); err != nil {
		return 0, err
	}
	w, err := s.write(0, 3, stepNext)
	if err == nil {
		err = s.free(w, stepLap*5/4)
	}
	if err == nil && s.many {
		err = s.free(s.other, stepLap/2)
	}
	if err == nil {
		err = s.drain(true)
	}
	if err != nil {
		return 0, fmt.Errorf("the next producer: %w", err)
	}
	delivered = s.readers[stepBlockSlot].last[stepVictimID] - s.victim.sent
	if delivered > s.pending {
		return 0, fmt.Errorf("%d records are lost or %d more delivered than published", s.victim.sent, delivered)
	}
	s.victim.sent += delivered
	return delivered, errors.Join(s.audit(s.twice), s.compare())
}

func (s *producing) Done() ([]uint64, error) { return nil, s.drain(true) }

func (s *producing) Ended(said []uint64, _ bool) error {
	if !s.cut {
		s.victim.sent, s.pending, s.twice = said[0], 0, 0
	}
	if err := s.settle(); err != nil {
		return err
	}
	gaps, err := s.ring.Repair(0)
	if err == nil && gaps != 0 && !s.cut {
		err = fmt.Errorf("it has left a claim of %d records open", gaps)
	}
	if err != nil {
		return err
	}
	_, err = s.next()
	return err
}
