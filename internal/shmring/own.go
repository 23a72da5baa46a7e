package shmring

import (
	"encoding/binary"
	"fmt"
	"runtime/debug"
)

// Words of the data file that only the daemon writes: the configuration, state and
// masks in the header page, and the table of consumer slots but for csDemoted. Who
// produces can write them, too. So the daemon keeps what it wrote, goes by that,
// and Stats compares: other values are another process's, and the ring is retired.
const (
	ownHeaderBytes = offLentMask + 8
	ownBytes       = producersOff // of the copy: header page and consumer slots
)

// keepOwn begins the copy with what the data file holds now: as it was made, or as
// an earlier daemon left it, configuration (which was checked) and state aside.
func (r *Ring) keepOwn() (err error) {
	defer r.m.catch(&err, debug.SetPanicOnFault(true))
	r.own = make([]byte, ownBytes)
	for off := uint64(0); off < ownBytes; off += 8 {
		binary.LittleEndian.PutUint64(r.own[off:], load64(r.b, off))
	}
	clear(r.own[:offState])
	binary.LittleEndian.PutUint64(r.own[offMagic:], formatMagic)
	r.config.encodeHeader(r.own)
	binary.LittleEndian.PutUint32(r.own[offState:], uint32(StateLive))
	return nil
}

// own32 and own64 store a word that only the daemon writes.
func (r *Ring) own32(off uint64, v uint32) {
	store32(r.b, off, v)
	if r.own != nil {
		binary.LittleEndian.PutUint32(r.own[off:], v)
	}
}

func (r *Ring) own64(off, v uint64) {
	store64(r.b, off, v)
	if r.own != nil {
		binary.LittleEndian.PutUint64(r.own[off:], v)
	}
}

func (r *Ring) ownGeneration(slot int) uint32 {
	if r.own == nil {
		return load32(r.b, consumerEntry(slot)+csGeneration)
	}
	return binary.LittleEndian.Uint32(r.own[consumerEntry(slot)+csGeneration:])
}

// ownMask is a mask as the daemon wrote it.
func (r *Ring) ownMask(off uint64) uint64 {
	if r.own == nil { // a test without files
		return load64(r.b, off)
	}
	return binary.LittleEndian.Uint64(r.own[off:])
}

// sound says whether the data file is what the daemon made of it: as long as it
// was, and with the daemon's words in it. Errors: ErrCorrupt, ErrFault.
func (r *Ring) sound() error {
	if r.own == nil {
		return nil
	}
	info, err := r.data.Stat()
	if err != nil {
		return err
	}
	switch n, made := uint64(info.Size()), r.config.dataBytes(); {
	case n < made:
		return fmt.Errorf("%w: the data file has %d bytes and was made with %d", ErrFault, n, made)
	case n > made:
		return fmt.Errorf("%w: the data file has %d bytes and was made with %d", ErrCorrupt, n, made)
	}
	for off := uint64(0); off < ownHeaderBytes; off += 8 {
		if err := r.soundAt(off); err != nil {
			return err
		}
	}
	for slot := range r.pages {
		entry := consumerEntry(slot)
		for _, off := range [...]uint64{csGeneration, csDemoteAfter, csFlags} {
			if err := r.soundAt(entry + off); err != nil {
				return err
			}
		}
	}
	return nil
}

// soundAt compares eight bytes.
func (r *Ring) soundAt(off uint64) error {
	if got, want := load64(r.b, off), binary.LittleEndian.Uint64(r.own[off:]); got != want {
		return fmt.Errorf("%w: byte %#x of the data file, which only the daemon writes, begins %#x, and it wrote %#x", ErrCorrupt, off, got, want)
	}
	return nil
}

// end is the end of the ring, where it is the daemon that looks.
func (r *Ring) end() (at boundary, err error) {
	if at, err = r.look(r.seen); err == nil {
		r.seen = at
	}
	return at, err
}
