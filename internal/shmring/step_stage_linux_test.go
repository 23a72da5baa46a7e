//go:build ringstep

package shmring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Who writes what: each writer numbers its records from 1.
const (
	stepBefore   = 9 // who filled the ring first
	stepVictimID = 1
	stepOther    = 2 // a second producer
	stepNext     = 3 // who comes after the victim
)

const (
	stepRecordBytes = 1000
	stepBigBytes    = 5000 // more than a chunk: it raises the limit, and starts or ends a chunk
	stepLap         = CapacityBytesMin
)

// Consumer slots. The first three are read in this process: by the policies block,
// skip and latest.
const (
	stepBlockSlot  = 0
	stepFourthSlot = 3
)

// stepPayload is record number i of who, all of it known to whoever reads it.
func stepPayload(who, i uint64, n int) []byte {
	b := make([]byte, max(n, 16))
	binary.LittleEndian.PutUint64(b, who)
	binary.LittleEndian.PutUint64(b[8:], i)
	for done := 16; done < len(b); done *= 2 {
		copy(b[done:], b[:done])
	}
	return b
}

// stepWriter is a producer and what it has surely published.
type stepWriter struct {
	p         *Producer
	who, sent uint64
}

func (w *stepWriter) send(n int) error {
	err := w.p.TrySend(stepPayload(w.who, w.sent+1, n))
	if err == nil {
		w.sent++
	}
	return err
}

// stepReader checks what it reads: whole records, each writer's in order, none twice.
type stepReader struct {
	c       *Consumer
	whole   bool // it may miss nothing, from its first record on
	follows bool // it reads on with those that may miss nothing
	mirror  bool // records are those of stepMirrorPart
	last    map[uint64]uint64
}

func (r *stepReader) drain() error {
	for {
		rec, err := r.c.TryReceive()
		switch {
		case err == ErrEmpty:
			return nil
		case err == ErrEndOfStream:
			continue
		case err == nil:
			err = r.take(rec)
		}
		if err != nil {
			return fmt.Errorf("%s reader: %w", r.c.policy, err)
		}
	}
}

func (r *stepReader) take(rec Record) error {
	who, i := binary.LittleEndian.Uint64(rec.Payload), binary.LittleEndian.Uint64(rec.Payload[8:])
	if !bytes.Equal(rec.Payload, stepPayload(who, i, len(rec.Payload))) {
		return fmt.Errorf("record %d at %d, %d of writer %d: its payload is wrong", rec.Sequence, rec.Position, i, who)
	}
	if r.mirror && (who != stepBefore || i != rec.Sequence+1) {
		return fmt.Errorf("record %d holds %d of writer %d", rec.Sequence, i, who)
	}
	last, known := r.last[who]
	if r.mirror {
		known = false // jumps leave out numbers; the record's own says which it is
	}
	if i <= last || r.whole && (known || r.c.start == 0 && !r.mirror) && i != last+1 {
		return fmt.Errorf("record %d of writer %d follows %d", i, who, last)
	}
	r.last[who] = i
	return nil
}

// books says that every record since the reader's start was delivered, missed or in a gap.
func (r *stepReader) books() error {
	s := r.c.Stats()
	if r.c.startSeq+s.Delivered+s.MissedRecords+s.GapRecords != s.Sequence || r.whole && s.MissedRecords != 0 {
		return fmt.Errorf("%s reader: from record %d: %+v", s.Policy, r.c.startSeq, s)
	}
	return nil
}

// stepStage is a ring with the daemon, three readers, and writers.
type stepStage struct {
	ring    *Ring
	loose   bool // nobody gates: the first reader is a skip reader, and follows closely
	readers []*stepReader
	opened  []func() error
	writers []*stepWriter
}

func (s *stepStage) Close() {
	for _, shut := range s.opened {
		_ = shut() // of what a failed run leaves, too
	}
}

// begin makes the ring, attaches readers and fills it for a lap and a half, so that
// stale parts lie wherever something is written later.
func (s *stepStage) begin(dir string, config Config) (err error) {
	if s.ring, err = Create(dir, config); err != nil {
		return err
	}
	s.opened = append(s.opened, s.ring.Close)
	first := PolicyBlock
	if s.loose {
		first = PolicySkip
	}
	for slot, policy := range []Policy{first, PolicySkip, PolicyLatest} {
		if _, err := s.read(slot, Binding{Generation: 1, Policy: policy, Parks: true}, ConsumerOptions{From: FromOldest()}); err != nil {
			return err
		}
	}
	s.readers[stepBlockSlot].whole = true
	if config.Mirror {
		return nil
	}
	w, err := s.write(0, 1, stepBefore)
	if err != nil {
		return err
	}
	if err := s.free(w, stepLap*3/2); err != nil {
		return err
	}
	return errors.Join(w.p.Close(), s.ring.UnbindProducer(0))
}

// read binds a consumer slot and opens its reader.
func (s *stepStage) read(slot int, b Binding, o ConsumerOptions) (*stepReader, error) {
	bind := s.ring.BindConsumer
	if o.From.Resumes() {
		bind = s.ring.ResumeConsumer
	}
	if err := bind(slot, b); err != nil {
		return nil, err
	}
	c, err := stepConsumer(s.ring, slot, b, o)
	if err != nil {
		return nil, err
	}
	r := &stepReader{c: c, whole: b.Policy == PolicyBlock, mirror: s.ring.mirror, last: map[uint64]uint64{}}
	s.readers, s.opened = append(s.readers, r), append(s.opened, c.Close)
	return r, nil
}

// stepConsumer opens a reader as its process does.
func stepConsumer(ring *Ring, slot int, b Binding, o ConsumerOptions) (*Consumer, error) {
	data, cursor, err := ring.LendConsumer(slot)
	if err != nil {
		return nil, err
	}
	o.Slot, o.Generation, o.Policy = slot, b.Generation, b.Policy
	return OpenConsumer(data, cursor, o)
}

// write binds a producer slot and opens its producer.
func (s *stepStage) write(slot int, generation uint32, who uint64) (*stepWriter, error) {
	if err := s.ring.BindProducer(slot, Binding{Generation: generation}); err != nil {
		return nil, err
	}
	p, err := stepOpenProducer(s.ring, slot, generation)
	if err != nil {
		return nil, err
	}
	w := &stepWriter{p: p, who: who}
	s.writers, s.opened = append(s.writers, w), append(s.opened, p.Close)
	return w, nil
}

// stepOpenProducer opens a producer as its process does.
func stepOpenProducer(ring *Ring, slot int, generation uint32) (*Producer, error) {
	data, cursors, err := ring.LendProducer()
	if err != nil {
		return nil, err
	}
	return OpenProducer(data, cursors, ProducerOptions{Slot: slot, Generation: generation, Wait: WaitPark, OnFull: OnFullDrop})
}

// stepTriesMax is how often a writer that is held tries again, each time after those
// who read have read: enough for a demotion.
const stepTriesMax = 4

// stepFollow is how many records may be between two looks of a skip reader that is to
// miss none.
const stepFollow = 8

// push publishes records until n bytes were written or the writer is held, while
// the lossless readers of this process keep up.
func (s *stepStage) push(w *stepWriter, n uint64) (held bool, err error) {
	for left, tries := int64(n), 0; left > 0; {
		if s.loose && w.sent%stepFollow == 0 {
			if err := s.drain(true); err != nil {
				return false, err
			}
		}
		switch err := w.send(stepRecordBytes); {
		case err == nil:
			left, tries = left-stepRecordBytes, 0
		case err != ErrFull:
			return false, fmt.Errorf("writer %d: %w", w.who, err)
		case tries == stepTriesMax:
			return true, nil
		default:
			tries++
			if err := s.drain(true); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// free is push by a writer whom nobody may hold.
func (s *stepStage) free(w *stepWriter, n uint64) error {
	held, err := s.push(w, n)
	if err == nil && held {
		err = fmt.Errorf("writer %d is held at %d", w.who, w.p.tail)
	}
	return err
}

// drain reads what is there, those alone that keep up with the writers, or all.
func (s *stepStage) drain(following bool) error {
	for _, r := range s.readers {
		if r.whole || r.follows || !following {
			if err := r.drain(); err != nil {
				return err
			}
		}
	}
	return nil
}

// audit reads to the end and compares everybody's books. twice is how many records
// the ring's own statistics may count twice as gaps.
func (s *stepStage) audit(twice uint64) error {
	if err := s.drain(false); err != nil {
		return err
	}
	stats, err := s.ring.Stats()
	if err != nil {
		return err
	}
	for _, r := range s.readers {
		if err := r.books(); err != nil {
			return err
		}
		if got := r.c.Stats(); got.Sequence != stats.Sequence || got.Position != stats.Position {
			return fmt.Errorf("%s reader: it ends at record %d, position %d; the ring at %+v", got.Policy, got.Sequence, got.Position, stats)
		}
	}
	block := s.readers[stepBlockSlot]
	for _, w := range s.writers {
		if block.last[w.who] != w.sent {
			return fmt.Errorf("writer %d has published %d records, received were %d", w.who, w.sent, block.last[w.who])
		}
	}
	if gaps := block.c.Stats().GapRecords; gaps > stats.GapRecords || gaps+twice < stats.GapRecords {
		return fmt.Errorf("%d records in gaps, the ring counts %d", gaps, stats.GapRecords)
	}
	return nil
}
