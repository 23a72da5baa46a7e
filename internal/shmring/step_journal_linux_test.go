//go:build ringstep

package shmring

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"brokerd/internal/stepping"
)

// A remote producer's records are noted in a journal before they are committed
// (journal.go). Whatever instant the gateway dies at, the journal of the next daemon
// says exactly what is in the ring.

const stepJournal = "sessions"

// stepSession is the remote producer's.
func stepSession() [16]byte { return [16]byte{1, 2, 3} }

func openStepJournal(dir string) (*Journal, error) {
	f, err := os.OpenFile(filepath.Join(dir, stepJournal), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return OpenJournal(f)
}

// asked is Published for those who have no use for an error: what follows has it, too.
func (r *Ring) asked(position uint64) bool {
	done, err := r.Published(position)
	return done && err == nil
}

// settle is what a daemon does with a journal before it repairs.
func (s *producing) settle() error {
	if !s.noted {
		return nil
	}
	j, err := openStepJournal(s.ring.dir)
	if err != nil {
		return err
	}
	j.Settle(s.ring.asked)
	return j.Close()
}

// compare: the journal says what the lossless reader has received.
func (s *producing) compare() error {
	if !s.noted {
		return nil
	}
	j, err := openStepJournal(s.ring.dir)
	if err != nil {
		return err
	}
	i, _ := j.Entry(stepSession())
	noted := j.Applied(i, s.ring.asked).Sequence
	if got := s.readers[stepBlockSlot].last[stepVictimID]; noted != got {
		err = fmt.Errorf("the journal says that %d records were published, received were %d", noted, got)
	}
	return errors.Join(err, j.Close())
}

// stepGateway publishes for a remote producer.
type stepGateway struct {
	stepProducer
	j     *Journal
	entry int
}

func (c *stepGateway) open() (err error) {
	if err := c.stepProducer.open(); err != nil {
		return err
	}
	if c.j, err = openStepJournal(c.ring.dir); err == nil {
		c.entry, _ = c.j.Entry(stepSession())
	}
	return err
}

func (c *stepGateway) publish(records int) error {
	for range records {
		if err := c.reserve(stepRecordBytes); err != nil {
			return err
		}
		n := c.w.sent + 1
		c.j.Note(c.entry, c.w.p.ClaimPosition(), Boundary{n * 1024, n})
		if err := c.commit(); err != nil {
			return err
		}
	}
	return nil
}

// leave publishes one more, unless the slot was taken back.
func (c *stepGateway) leave([]uint64) ([]uint64, error) {
	err := c.publish(1)
	if c.Mode == stepping.Evict && errors.Is(err, ErrDetached) {
		err = nil
	}
	return []uint64{c.w.sent}, errors.Join(err, c.w.p.Close(), c.j.Close())
}

func stepsOfJournal() []stepping.Op {
	op := func(name string, part producing, run func(c *stepGateway) (func() error, error)) stepping.Op {
		part.many, part.noted = true, true
		return stepping.Op{
			Name: "journal: " + name,
			Part: func() stepping.Part { p := part; return &p },
			Child: stepIn(func(child *stepChild) (func() error, error) {
				c := &stepGateway{stepProducer: stepProducer{stepChild: child}}
				return run(c)
			}),
		}
	}
	first := op("first notes of a session", producing{pending: 1}, func(c *stepGateway) (func() error, error) {
		c.Said, c.After = []uint64{0}, c.leave
		return func() error { return errors.Join(c.open(), c.publish(1)) }, nil
	})
	more := op("notes and records", producing{pending: 1}, func(c *stepGateway) (func() error, error) {
		err := errors.Join(c.open(), c.publish(3))
		c.Said, c.After = []uint64{c.w.sent}, c.leave
		return func() error { return c.publish(1) }, err
	})
	settled := op("settled after a death at each store", producing{pending: 1, twice: 1, cut: true}, func(c *stepGateway) (func() error, error) {
		err := errors.Join(c.open(), c.publish(2))
		c.Said = []uint64{c.w.sent}
		taken, cut := cutAt(c.Round, func() error { return c.publish(1) })
		c.Last = taken+1 == c.Round
		return func() error { c.j.Settle(c.ring.asked); return nil }, errors.Join(err, cut)
	})
	first.Evict, more.Evict, settled.Rounds = true, true, true
	return []stepping.Op{first, more, settled}
}
