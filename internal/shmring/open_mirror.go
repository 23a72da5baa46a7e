package shmring

import (
	"errors"
	"os"
	"runtime/debug"
	"time"
)

// MirrorOptions say what a mirror's readers and its origin are told.
type MirrorOptions struct {
	// Missed makes the records that a jump stands for count as missed (of a ring
	// that one remote reader has for itself), not as a gap.
	Missed bool
	// KeptByReaders makes Progress tell how far all readers of the ring are, which
	// attach with KeepCursor, instead of what was committed.
	KeptByReaders bool
	// Populate maps every page now instead of at its first use, which is several
	// times cheaper. It is for files whose memory is reserved anyway.
	Populate bool
}

// Mirror is the one writer of a mirror (Config.Mirror), or of the ring that stands
// for a remote one. It takes chunks of the origin's bytes as they are, checks every
// part of them, and makes a chunk visible as a whole. It is used by one goroutine
// at a time.
type Mirror struct {
	mirror
	m      mapping
	config Config
	o      MirrorOptions
	clock  time.Time
	closed bool
}

// OpenMirror maps what LendProducer gave and goes on where the last writer ended,
// at whatever instruction that was. It closes the files in every case. No two
// Mirrors may be open on a ring. Errors: ErrNotRing, ErrVersion, ErrCorrupt,
// ErrRemoved, ErrFault.
func OpenMirror(data *os.File, cursors []*os.File, o MirrorOptions) (m *Mirror, err error) {
	defer func() {
		err = errors.Join(err, data.Close())
		for _, f := range cursors {
			err = errors.Join(err, f.Close())
		}
	}()
	config, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	if !config.Mirror {
		return nil, errors.New("the ring is no mirror: producers write it")
	}
	maps, err := mapForWriter(data, cursors, config)
	if err != nil {
		return nil, err
	}
	if o.Populate {
		populate(maps.data)
	}
	m = mirrorOver(maps, config, o)
	m.fenced = !registerMembarrier()
	if err := m.openGuarded(); err != nil {
		return nil, errors.Join(err, m.m.unmap())
	}
	return m, nil
}

// mirrorOver sets up a Mirror over what is mapped already.
func mirrorOver(maps mapping, config Config, o MirrorOptions) *Mirror {
	m := &Mirror{mirror: newMirror(maps.data, maps.cursors, config, o), m: maps, config: config, o: o, clock: time.Now()}
	m.m.onCursorFault = m.evict
	return m
}

func (m *Mirror) openGuarded() error {
	return m.settled(func() error {
		if err := m.usable(); err != nil {
			return err
		}
		return m.recover()
	})
}

// settled runs fn as the public methods do, and again when a reader's page faulted:
// that reader is evicted then.
func (m *Mirror) settled(fn func() error) error {
	for {
		if err := m.guarded(fn); err != errCursorFault {
			return err
		}
	}
}

func (m *Mirror) guarded(fn func() error) (err error) {
	defer m.m.catch(&err, debug.SetPanicOnFault(true))
	return fn()
}

// usable says why the ring cannot be written, if so.
func (m *Mirror) usable() error {
	if m.closed {
		return ErrClosed
	}
	switch state := State(load32(m.b, offState)); {
	case state == StateRemoved:
		return ErrRemoved
	case state != StateLive:
		return corruptAt(m.tail, "the ring was retired")
	}
	return nil
}

// End is the boundary behind everything that was committed.
func (m *Mirror) End() Boundary { return boundary{m.tail, m.seq}.public() }

// Config is the ring's geometry.
func (m *Mirror) Config() Config { return m.config }

// Place gives memory for the bytes from the 16th on of a chunk of n bytes, which
// starts at position; they are in the ring, and invisible until Commit. Another
// Place of the same chunk may grow or shrink it; bytes stay. n is a multiple of 16, at most
// Config.ChunkBytesMax, within the limit of Progress, and does not go beyond the
// ring's end. Errors: *ChunkError, ErrRemoved, ErrCorrupt, ErrFault, ErrClosed.
func (m *Mirror) Place(position uint64, n int) (b []byte, err error) {
	err = m.guarded(func() error {
		if err := m.usable(); err != nil {
			return err
		}
		off, err := m.place(position, uint64(max(n, 0)))
		if err == nil {
			end := off + uint64(n)
			b = m.b[off+recordAlign : end : end]
		}
		return err
	})
	return b, err
}

// Commit publishes the chunk that was placed, as a whole, and wakes readers that
// sleep. With a *ChunkError nothing of it was published, nor ever will be; the
// mirror is as it was before Place. Other errors: ErrRemoved, ErrCorrupt, ErrFault, ErrClosed.
func (m *Mirror) Commit(c Chunk) error {
	return m.publish(func() error { return m.commit(c) })
}

// Jump goes on at position to, and has lost records counted in between. It takes up
// to JumpBytesMax of the limit, which must have been raised again (Progress) before
// a chunk can be placed behind it. Errors as for Commit.
func (m *Mirror) Jump(to, lost uint64) error {
	return m.publish(func() error { return m.jump(to, lost) })
}

func (m *Mirror) publish(fn func() error) error {
	err := m.guarded(func() error {
		if err := m.usable(); err != nil {
			return err
		}
		return fn()
	})
	if err != nil {
		return err
	}
	return m.settled(func() error {
		m.wakeSleepers()
		return nil
	})
}

// Progress says how far the origin may send, a position, having granted as much as
// the gates of local readers allow, and what it may be told: everything before kept
// is safe here, or done with (MirrorOptions.KeptByReaders). It demotes readers that
// hold the mirror for longer than they may, and is to be called every few
// milliseconds while less is granted than the origin would send. Errors: ErrRemoved, ErrCorrupt,
// ErrFault, ErrClosed.
func (m *Mirror) Progress() (kept Boundary, limit uint64, err error) {
	err = m.settled(func() error {
		if err := m.usable(); err != nil {
			return err
		}
		m.progress(int64(time.Since(m.clock)) + 1)
		kept = m.End()
		if m.o.KeptByReaders {
			kept = m.keptByReaders().public()
		}
		return nil
	})
	return kept, m.credit(), err
}

// Close unmaps. What was placed and not committed is scrubbed.
func (m *Mirror) Close() error {
	if m.closed {
		return nil
	}
	m.closed = true
	err := m.guarded(func() error {
		m.dropPlaced()
		return nil
	})
	return errors.Join(err, m.m.unmap())
}
