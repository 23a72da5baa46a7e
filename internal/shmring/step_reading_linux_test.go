//go:build ringstep

package shmring

import (
	"errors"
	"fmt"
)

// reading is everybody but a reader that is stopped.
type reading struct {
	stepStage
	o        stepReading
	attached bool // before the operation
	w        *stepWriter
	began    uint64 // record that it started at
}

func (s *reading) Open(dir string) (err error) {
	if err := s.begin(dir, stepConfig(false)); err != nil {
		return err
	}
	if s.w, err = s.write(0, 2, stepOther); err != nil {
		return err
	}
	if err := s.ring.BindConsumer(stepFourthSlot, s.o.binding(1)); err != nil {
		return err
	}
	if s.o.resume {
		if err := s.formerReader(); err != nil {
			return err
		}
	}
	if !s.attached {
		err = s.free(s.w, s.o.ahead)
	}
	return errors.Join(err, s.drain(true))
}

// formerReader reads a little and leaves its cursor.
func (s *reading) formerReader() error {
	b := s.o.binding(1)
	c, err := stepConsumer(s.ring, stepFourthSlot, b, ConsumerOptions{From: FromLatest(), KeepCursor: true})
	if err != nil {
		return err
	}
	if err := s.free(s.w, 3*stepRecordBytes); err != nil {
		return err
	}
	for range 2 {
		if _, err := c.TryReceive(); err != nil {
			return err
		}
	}
	s.began = c.Sequence()
	return errors.Join(c.Close(), s.ring.ResumeConsumer(stepFourthSlot, s.o.binding(2)))
}

func (s *reading) Ready(said []uint64) error {
	if !s.attached {
		return nil
	}
	s.began = said[0]
	return errors.Join(s.free(s.w, s.o.ahead), s.drain(true))
}

// holds says whether the reader's gate is in the way of producers, as its page and
// the slot table say.
func (s *reading) holds() (bool, error) {
	page, err := s.ring.page(stepFourthSlot)
	if err != nil {
		return false, err
	}
	entry := consumerEntry(stepFourthSlot)
	demoted := load64(s.ring.b, entry+csDemoted) == uint64(load32(s.ring.b, entry+csGeneration))
	return s.o.gates() && s.o.demote == 0 && !demoted && load64(page, cuGate) != gateNone, nil
}

// others go on: two laps, unless the reader gates.
func (s *reading) others() error {
	holds, err := s.holds()
	if err != nil {
		return err
	}
	if s.attached && s.o.gates() && s.o.demote == 0 && !s.o.closes && !holds {
		return errors.New("the gate of an attached reader fell")
	}
	held, err := s.push(s.w, 2*stepLap)
	if err == nil && held != holds {
		err = fmt.Errorf("the producer is held: %t, the reader gates: %t", held, holds)
	}
	return errors.Join(err, s.drain(true))
}

func (s *reading) Stopped(evicted bool) error {
	if err := s.others(); err != nil || !evicted {
		return err
	}
	if err := s.ring.UnbindConsumer(stepFourthSlot); err != nil {
		return err
	}
	return s.free(s.w, 2*stepLap)
}

func (s *reading) Idle() error { return s.drain(true) }

func (s *reading) Dead() (outcome int, err error) {
	if err := s.others(); err != nil {
		return 0, fmt.Errorf("while no daemon runs: %w", err)
	}
	if !s.o.keep {
		return 0, s.next()
	}
	limit := s.began // while it attached
	if s.attached {
		limit += s.o.ahead / stepRecordBytes
	}
	return s.successor(limit)
}

// next takes the slot back and lends it to another reader.
func (s *reading) next() error {
	if err := s.ring.UnbindConsumer(stepFourthSlot); err != nil {
		return err
	}
	if err := s.free(s.w, 2*stepLap); err != nil {
		return err
	}
	b := s.o.binding(3)
	r, err := s.read(stepFourthSlot, b, ConsumerOptions{From: FromOldest()})
	if err != nil {
		return err
	}
	r.whole = s.o.gates() && s.o.demote == 0
	return errors.Join(s.free(s.w, stepLap*5/4), s.audit(0))
}

// successor takes over the cursor, which is at record limit or before, and says how
// many records the reader was done with.
func (s *reading) successor(limit uint64) (done int, err error) {
	o := s.o.options()
	o.From = FromResume()
	r, err := s.read(stepFourthSlot, s.o.binding(3), ConsumerOptions{From: FromResume(), KeepCursor: true})
	if err != nil {
		return 0, err
	}
	r.whole = s.o.gates()
	c := r.c
	if s.attached || s.o.resume {
		done = int(c.startSeq - s.began)
		if !c.Resumed() || c.startSeq < s.began || c.startSeq > limit {
			return 0, fmt.Errorf("its successor resumed %t at record %d; it had begun at %d, and %d were there", c.Resumed(), c.startSeq, s.began, limit)
		}
	}
	if c.stats.MissedRecords != 0 && r.whole {
		return 0, fmt.Errorf("its successor missed %d records", c.stats.MissedRecords)
	}
	return done, errors.Join(s.free(s.w, stepLap*5/4), s.audit(0))
}

func (s *reading) Done() ([]uint64, error) {
	stats, err := s.ring.Stats()
	return []uint64{stats.Sequence}, err
}

func (s *reading) Ended(said []uint64, evicted bool) error {
	if evicted || !s.o.keep {
		return s.next()
	}
	done, err := s.successor(said[0])
	if err == nil && s.attached && s.began+uint64(done) != said[0] {
		err = fmt.Errorf("its successor begins at record %d, it ended at %d", s.began+uint64(done), said[0])
	}
	return err
}
