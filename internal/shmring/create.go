package shmring

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
)

// Create makes the files of a ring in dir, which exists and is empty: memory is
// reserved, slots are free, the magic is stored last. On error what was made is
// left for the caller to remove with the directory. Errors: ErrNoSpace.
func Create(dir string, c Config) (*Ring, error) { return CreateAt(dir, c, Boundary{}) }

// CreateAt is Create for a ring whose first record has the position and the
// sequence number of start: a mirror begins where its origin is.
func CreateAt(dir string, c Config, start Boundary) (*Ring, error) {
	return create(c, start, dir, func(name string, bytes uint64) (*os.File, error) {
		return allocate(filepath.Join(dir, name), bytes)
	})
}

// CreatePrivate makes a ring for this process alone, in files without a name that
// end with the Ring and what it lent. Their memory is taken when it is first
// written.
func CreatePrivate(c Config, start Boundary) (*Ring, error) { return create(c, start, "", anonymous) }

func create(c Config, start Boundary, dir string, file func(name string, bytes uint64) (*os.File, error)) (*Ring, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	at := start.boundary()
	if !at.sane() {
		return nil, fmt.Errorf("start at position %d, record %d: want a multiple of %d below 2^60, and at most one record for each %d bytes", start.Position, start.Sequence, recordAlign, recordAlign)
	}
	for c.Key>>60 == 0 {
		var word [8]byte
		if _, err := rand.Read(word[:]); err != nil {
			return nil, fmt.Errorf("draw a ring key: %w", err)
		}
		c.Key = binary.LittleEndian.Uint64(word[:])
	}
	r := &Ring{config: c, dir: dir}
	err := r.makeFiles(file)
	if err == nil {
		err = r.mapData()
	}
	if err == nil {
		err = r.format(at)
	}
	if err == nil {
		err = r.keepOwn()
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Ring) makeFiles(file func(name string, bytes uint64) (*os.File, error)) (err error) {
	if r.data, err = file("data", r.config.dataBytes()); err != nil {
		return err
	}
	for slot := range r.config.ConsumersMax {
		f, err := file(cursorName(slot), cursorPageBytes)
		if err != nil {
			return err
		}
		r.pages = append(r.pages, f)
	}
	return nil
}

func (r *Ring) format(start boundary) (err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	r.config.encodeHeader(r.b)
	r.formatWords(start)
	for slot := range r.config.ConsumersMax {
		page, err := r.page(slot)
		if err != nil {
			return err
		}
		store64(page, cuGate, gateNone)
	}
	store64(r.b, offMagic, formatMagic)
	return nil
}

// formatWords writes the shared words of a new ring, whose memory is zero.
func (r *Ring) formatWords(start boundary) {
	if r.config.Many {
		store64(r.b, offTail, tailWord(start.pos, ownerNone, start.seq&tailCountMask))
	}
	if r.config.Mirror { // its writer uses slot 0, which nobody is lent
		store64(r.b, producerEntry(0)+psIntent, intentNone)
		store64(r.b, offLentMask, 1)
	}
	store32(r.b, offState, uint32(StateLive))
	if start == (boundary{}) {
		return
	}
	// Zeros would be pairs for position 0.
	for entry := range r.chunks {
		store64(r.b, syncOff+entry*syncEntryBytes, syncNone)
	}
	for slot := range producersMaxFormat {
		store64(r.b, producerEntry(slot)+psHint, syncNone)
	}
	r.putPair(r.syncEntry(start.pos), start)
	store64(r.b, offSeqBase, start.seq)
	store64(r.b, offUsable, start.pos)
	store64(r.b, offAnnounce, start.pos)
}
