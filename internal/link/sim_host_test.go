package link

import (
	"bytes"
	"os"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// mirrorHost is a mirror, its readers, and the Sink that watches what is done to
// it.
type mirrorHost struct {
	w       *world
	ring    *shmring.Ring
	mirror  *shmring.Mirror
	slots   *slots
	truth   *truth
	start   shmring.Boundary
	jumped  uint64 // target of the last jump
	readers []*simReader
	frozen  int64 // nobody reads before that time
}

func newMirrorHost(w *world, o *origin, opened wire.LinkOpenedFrame) *mirrorHost {
	config := o.config
	config.Mirror = true
	config.ConsumersMax = 5
	start := shmring.Boundary{Position: opened.Position, Sequence: opened.Sequence}
	ring, err := shmring.CreatePrivate(config, start)
	w.must(err)
	h := &mirrorHost{w: w, ring: ring, slots: newSlots(ring), truth: o.truth, start: start, jumped: start.Position}
	h.open()
	for range w.between(0, 3) {
		h.attach()
	}
	return h
}

func (h *mirrorHost) open() {
	data, cursors, err := h.ring.LendProducer()
	h.w.must(err)
	h.mirror, err = shmring.OpenMirror(data, cursors, shmring.MirrorOptions{})
	h.w.must(err)
}

// restart is a daemon that was killed and comes back.
func (h *mirrorHost) restart() {
	before := h.mirror.End()
	h.w.must(h.mirror.Close())
	h.open()
	if after := h.mirror.End(); after != before {
		h.w.wrong("the mirror ended at %+v, and at %+v when it was opened again", before, after)
	}
}

// The Sink passes everything on.

func (h *mirrorHost) Place(position uint64, n int) ([]byte, error) {
	return h.mirror.Place(position, n)
}
func (h *mirrorHost) Commit(c shmring.Chunk) error                { return h.mirror.Commit(c) }
func (h *mirrorHost) Jump(to, lost uint64) error                  { return h.mirror.Jump(to, lost) }
func (h *mirrorHost) Progress() (shmring.Boundary, uint64, error) { return h.mirror.Progress() }

// simReader is a reader of the mirror that checks all it is given.
type simReader struct {
	*shmring.Consumer
	slot     int
	policy   shmring.Policy
	start    uint64 // sequence
	expected uint64 // sequence
	lost     uint64
	got      uint64
}

func (h *mirrorHost) attach() {
	policy := shmring.Policy(h.w.between(1, 4))
	from := shmring.FromOldest()
	if h.w.chance(30) {
		from = shmring.FromLatest()
	}
	c, slot, err := h.slots.lend(shmring.Binding{Policy: policy, DemoteAfter: time.Nanosecond}, shmring.ConsumerOptions{From: from})
	h.w.must(err)
	if c == nil {
		return
	}
	h.readers = append(h.readers, &simReader{Consumer: c, slot: slot, policy: policy, start: c.Sequence(), expected: c.Sequence()})
}

// detach ends a reader after a last look at its counts.
func (h *mirrorHost) detach(r *simReader) {
	for i, other := range h.readers {
		if other == r {
			h.readers = append(h.readers[:i], h.readers[i+1:]...)
			break
		}
	}
	h.w.must(r.Close())
	h.w.must(h.slots.free(r.slot))
}

// read takes up to limit records and returns whether there was one.
func (h *mirrorHost) read(r *simReader, limit int) bool {
	for n := range limit {
		record, err := r.TryReceive()
		switch err {
		case shmring.ErrEndOfStream:
			continue
		case shmring.ErrEmpty:
			return n > 0
		}
		h.w.must(err)
		lost := record.Missed + record.Gaps
		if r.expected += lost; r.expected != record.Sequence {
			h.w.wrong("a %s reader got record %d, due was %d after %d missed and %d in gaps", r.policy, record.Sequence, r.expected, record.Missed, record.Gaps)
		}
		if record.Sequence >= uint64(len(h.truth.facts)) || factOf(record) != h.truth.facts[record.Sequence] {
			h.w.wrong("a %s reader got record %d at position %d, which was never published", r.policy, record.Sequence, record.Position)
		}
		r.lost += lost
		r.got++
		r.expected++
	}
	return true
}

// audit is the sum at the end, when a reader has read everything: delivered +
// missed + gaps = sequence.
func (h *mirrorHost) audit(r *simReader) {
	stats := r.Stats()
	end := h.mirror.End()
	if stats.Sequence != end.Sequence || stats.Position != end.Position {
		h.w.wrong("a %s reader ends at %d/%d, the mirror at %d/%d", r.policy, stats.Position, stats.Sequence, end.Position, end.Sequence)
	}
	if sum := stats.Delivered + stats.MissedRecords + stats.GapRecords; sum != stats.Sequence-r.start || stats.Delivered != r.got {
		h.w.wrong("a %s reader: %d delivered + %d missed + %d in gaps, but %d records since its start", r.policy,
			stats.Delivered, stats.MissedRecords, stats.GapRecords, stats.Sequence-r.start)
	}
}

// sameBytes compares the mirror with its origin, byte for byte, where both still
// hold what was published.
func (h *mirrorHost) sameBytes(o *origin) {
	mine, err := h.ring.Stats()
	h.w.must(err)
	theirs, err := o.ring.Stats()
	h.w.must(err)
	from := max(mine.Oldest, theirs.Oldest, h.jumped)
	end := h.mirror.End()
	if end.Position != theirs.Position || end.Sequence != theirs.Sequence || mine.Position != end.Position {
		h.w.wrong("the mirror ends at %d/%d, its origin at %d/%d", end.Position, end.Sequence, theirs.Position, theirs.Sequence)
	}
	capacity := o.config.Capacity
	for from < end.Position {
		n := min(end.Position-from, capacity-from%capacity)
		if !bytes.Equal(h.w.bytesOf(h.ring, from, n), h.w.bytesOf(o.ring, from, n)) {
			h.w.wrong("the bytes of the mirror from position %d to %d are not those of its origin", from, from+n)
		}
		from += n
	}
}

// bytesOf reads a ring's memory through its file; the records are its last bytes.
func (w *world) bytesOf(ring *shmring.Ring, position, n uint64) []byte {
	data, cursor, err := ring.LendConsumer(0)
	w.must(err)
	defer func(files ...*os.File) {
		for _, f := range files {
			w.must(f.Close())
		}
	}(data, cursor)
	info, err := data.Stat()
	w.must(err)
	capacity := ring.Config().Capacity
	b := make([]byte, n)
	_, err = data.ReadAt(b, info.Size()-int64(capacity)+int64(position%capacity))
	w.must(err)
	return b
}

func (h *mirrorHost) close() {
	for len(h.readers) > 0 {
		h.detach(h.readers[0])
	}
	h.w.must(h.mirror.Close())
	h.w.must(h.ring.Close())
}
