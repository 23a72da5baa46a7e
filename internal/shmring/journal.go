package shmring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// A journal is a file beside a ring, where the daemon notes how far it has published
// what came over the network from producers on other hosts, so that a kill -9
// between a record and its acknowledgement doubles nothing. Only the daemon maps it.
//
//	000 magic u64, version u32; then entries of 128 bytes, from 080 on:
//	00 session, 16 bytes      10 stamp u64, grows with each note in the file
//	18 count of notes u64     20 two notes: claim, position, sequence, u64 each
//
// A note is written before the record that it is about is committed, to the place
// that bit 0 of count + 1 names, then count + 1. So the record of the last note but
// one was committed, and whether that of the last one was, the ring says
// (Ring.Published). claimNone: the note holds as it is, for it is about no record or
// was settled.
const (
	journalMagic      = 0x314E524A4B524224 // "$BRKJRN1"
	journalVersion    = 1
	journalEntryBytes = 128
	jeSession         = 0x00
	jeStamp           = 0x10
	jeCount           = 0x18
	jeNotes           = 0x20
	jeNoteBytes       = 24
	claimNone         = ^uint64(0)
)

// JournalSessionsMax is how many sessions a journal remembers: more than a ring has
// producers, so that one that comes back after a while is still known.
const JournalSessionsMax = 127

// JournalBytes is the size of a journal's file.
const JournalBytes = (JournalSessionsMax + 1) * journalEntryBytes

// Journal is used by one goroutine at a time.
type Journal struct {
	b     []byte
	stamp uint64
	held  [JournalSessionsMax]bool
}

// OpenJournal maps a journal, which it makes if the file is empty, with its memory
// reserved. It closes f in every case. Errors: ErrNoSpace, ErrCorrupt (something
// else is in the file).
func OpenJournal(f *os.File) (j *Journal, err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := reserve(f, JournalBytes); err != nil {
		return nil, err
	}
	b, err := mapFile(f, JournalBytes, true)
	if err != nil {
		return nil, err
	}
	j = &Journal{b: b}
	switch magic, version := load64(b, 0), load32(b, 8); {
	case magic == 0:
		store32(b, 8, journalVersion)
		store64(b, 0, journalMagic)
	case magic != journalMagic || version != journalVersion:
		return nil, errors.Join(fmt.Errorf("%w: %s is no journal of version %d (magic %#x, version %d)", ErrCorrupt, f.Name(), journalVersion, magic, version), unmap(b))
	}
	for i := range JournalSessionsMax {
		j.stamp = max(j.stamp, load64(b, j.at(i)+jeStamp))
	}
	return j, nil
}

func (j *Journal) at(i int) uint64 { return uint64(i+1) * journalEntryBytes }

// note is what one note of an entry says.
type note struct {
	claim uint64
	after Boundary
}

func (j *Journal) noteAt(i int, count uint64) note {
	off := j.at(i) + jeNotes + count&1*jeNoteBytes
	return note{load64(j.b, off), Boundary{load64(j.b, off+8), load64(j.b, off+16)}}
}

// Entry finds the entry of a session, or takes the one of the session that was noted
// least recently, of those nobody holds. The caller holds it until Leave. i is -1 when
// all are held.
func (j *Journal) Entry(session [16]byte) (i int, known bool) {
	low, high := binary.LittleEndian.Uint64(session[:]), binary.LittleEndian.Uint64(session[8:])
	i = -1
	for n := range JournalSessionsMax {
		off := j.at(n)
		stamp := load64(j.b, off+jeStamp)
		if stamp != 0 && load64(j.b, off+jeSession) == low && load64(j.b, off+jeSession+8) == high {
			j.held[n] = true
			return n, true
		}
		if !j.held[n] && (i < 0 || stamp < load64(j.b, j.at(i)+jeStamp)) {
			i = n
		}
	}
	if i < 0 {
		return i, false
	}
	// Killed in between, the entry has no notes and is of nobody (stamp 0), or of
	// this session, which was not published anything yet.
	off := j.at(i)
	store64(j.b, off+jeStamp, 0)
	store64(j.b, off+jeCount, 0)
	store64(j.b, off+jeSession, low)
	store64(j.b, off+jeSession+8, high)
	j.stamp++
	store64(j.b, off+jeStamp, j.stamp)
	j.held[i] = true
	return i, false
}

// Leave lets others take the entry, once enough have come.
func (j *Journal) Leave(i int) { j.held[i] = false }

// Note says, before the record claimed at position claim of the ring is committed,
// that with it the session is published up to after, a boundary of its own.
func (j *Journal) Note(i int, claim uint64, after Boundary) {
	off := j.at(i)
	count := load64(j.b, off+jeCount) + 1
	place := off + jeNotes + count&1*jeNoteBytes
	storeRel64(j.b, place, claim)
	storeRel64(j.b, place+8, after.Position)
	storeRel64(j.b, place+16, after.Sequence)
	storeRel64(j.b, off+jeCount, count)
	j.stamp++
	storeRel64(j.b, off+jeStamp, j.stamp)
}

// Pass says that the session is published up to after, behind the last record that
// was noted: what lies in between is no record, and is acknowledged all the same.
func (j *Journal) Pass(i int, after Boundary) { j.Note(i, claimNone, after) }

// Applied is how far the session was published; the zero Boundary if nothing was.
// published is Ring.Published, or says that the ring cannot tell by false.
func (j *Journal) Applied(i int, published func(claim uint64) bool) Boundary {
	count := load64(j.b, j.at(i)+jeCount)
	if count == 0 {
		return Boundary{}
	}
	if last := j.noteAt(i, count); last.claim == claimNone || published(last.claim) {
		return last.after
	}
	if count == 1 {
		return Boundary{}
	}
	return j.noteAt(i, count-1).after
}

// Settle makes every entry say what is true now for good. It is called when a ring
// is adopted, before Repair and before anybody writes: an open claim of the daemon
// that died, which becomes a gap, would look published once it is overwritten.
func (j *Journal) Settle(published func(claim uint64) bool) {
	for i := range JournalSessionsMax {
		count := load64(j.b, j.at(i)+jeCount)
		if count > 0 && j.noteAt(i, count).claim != claimNone {
			stamp := load64(j.b, j.at(i)+jeStamp)
			j.Note(i, claimNone, j.Applied(i, published))
			store64(j.b, j.at(i)+jeStamp, stamp) // that was no news of the session
		}
	}
}

// Close unmaps.
func (j *Journal) Close() error {
	b := j.b
	j.b = nil
	return unmap(b)
}
