//go:build ringstep

package shmring

import (
	"errors"
	"fmt"
	"time"

	"brokerd/internal/stepping"
)

// mirroring is everybody but the writer of a mirror that is stopped.
type mirroring struct {
	stepStage
	records int    // of the chunk that the operation commits, as a whole
	bytes   uint64 // or by which it moves the end
	padded  bool   // or by the pad before it alone
	slow    bool   // there is a reader that does not read, to be demoted

	m     *Mirror
	began Boundary
}

func (s *mirroring) Open(dir string) error {
	if err := s.begin(dir, stepMirrorConfig()); err != nil {
		return err
	}
	if err := s.write(stepLap * 3 / 2); err != nil {
		return err
	}
	if s.slow {
		b := Binding{Generation: 1, Policy: PolicyDemote, DemoteAfter: 1}
		if _, err := s.read(stepFourthSlot, b, ConsumerOptions{From: FromLatest()}); err != nil {
			return err
		}
	}
	return errors.Join(s.drain(true), s.m.Close())
}

// write opens the mirror and writes records for n bytes; nobody may hold it for long.
func (s *mirroring) write(n uint64) (err error) {
	if s.m, err = openStepMirror(s.ring); err != nil {
		return err
	}
	s.opened = append(s.opened, s.m.Close)
	for deadline := time.Now().Add(stepping.Patience / 2); n > 0; {
		_, limit, err := s.m.Progress()
		if err != nil {
			return err
		}
		chunk, bytes := stepMirrorChunk(&s.m.geometry, s.m.End().boundary(), 2)
		if limit < chunk.Position+uint64(chunk.Bytes) {
			if time.Now().After(deadline) {
				return fmt.Errorf("the mirror is held at %d, limit %d", s.m.tail, limit)
			}
			if err := s.drain(true); err != nil {
				return err
			}
			continue
		}
		if err := errors.Join(stepPlace(s.m, bytes), s.m.Commit(chunk)); err != nil {
			return err
		}
		n -= min(n, uint64(chunk.Bytes))
	}
	return nil
}

func (s *mirroring) Ready(said []uint64) error {
	s.began = Boundary{said[0], said[1]}
	if s.records > 0 {
		chunk, _ := stepMirrorChunk(&s.ring.geometry, s.began.boundary(), s.records)
		s.bytes = uint64(chunk.Bytes)
	}
	return s.drain(true)
}

// stopped: readers read on, and another one comes.
func (s *mirroring) Stopped(bool) error {
	if err := s.drain(true); err != nil || s.slow {
		return err
	}
	r, err := s.read(stepFourthSlot, Binding{Generation: 1, Policy: PolicyBlock}, ConsumerOptions{From: FromOldest()})
	if err != nil {
		return err
	}
	return r.drain()
}

func (s *mirroring) Idle() error             { return s.drain(true) }
func (s *mirroring) Done() ([]uint64, error) { return nil, nil }

func (s *mirroring) Dead() (outcome int, err error) {
	if err := s.Stopped(false); err != nil {
		return 0, fmt.Errorf("while no writer runs: %w", err)
	}
	end, err := s.next()
	moved := end.Position - s.began.Position
	if err == nil && moved != 0 && moved != s.bytes && !(s.padded && moved == recordAlign) {
		err = fmt.Errorf("the mirror went on at %+v, %d bytes behind %+v", end, moved, s.began)
	}
	return int(moved), err
}

// next is the next writer, which begins at end, and the books.
func (s *mirroring) next() (end Boundary, err error) {
	m, err := openStepMirror(s.ring)
	if err != nil {
		return end, err
	}
	end = m.End()
	if err := errors.Join(stepClean(m), m.Close()); err != nil {
		return end, err
	}
	if err := s.write(stepLap * 5 / 4); err != nil {
		return end, err
	}
	if err := s.drain(false); err != nil {
		return end, err
	}
	last := s.m.End()
	for _, r := range s.readers {
		if got := r.c.Stats(); got.Sequence != last.Sequence || got.Position != last.Position {
			return end, fmt.Errorf("%s reader: it ends at record %d, position %d; the mirror at %+v", got.Policy, got.Sequence, got.Position, last)
		}
		if err := r.books(); err != nil {
			return end, err
		}
	}
	return end, nil
}

// stepClean: nothing behind the mirror's end looks like a part that was committed.
func stepClean(m *Mirror) error {
	for pos := m.tail; pos < m.announced; pos += recordAlign {
		if m.kindAt(load64(m.b, m.at(pos)), pos) != 0 {
			return fmt.Errorf("the mirror ends at %d, and at %d is a part", m.tail, pos)
		}
	}
	return nil
}

func (s *mirroring) Ended(said []uint64, _ bool) error {
	end, err := s.next()
	if err == nil && (end != Boundary{said[0], said[1]}) {
		err = fmt.Errorf("the mirror went on at %+v, its writer had ended at %v", end, said)
	}
	return err
}
