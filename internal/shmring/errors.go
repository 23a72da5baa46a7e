package shmring

import (
	"errors"
	"fmt"
)

// Sentinel errors; returned errors wrap them with what was wrong and where.
var (
	// ErrNotRing: the file holds no ring, or one whose making was cut short.
	ErrNotRing = errors.New("not a ring")
	// ErrVersion: a ring of another format version.
	ErrVersion = errors.New("ring format version not supported")
	// ErrCorrupt: a shared word holds what no correct peer writes.
	ErrCorrupt = errors.New("ring is corrupt")
	// ErrFault: the mapping faulted; somebody truncated the file.
	ErrFault = errors.New("ring memory is gone (its file was truncated)")
	// ErrNoSpace: the tmpfs cannot hold the ring.
	ErrNoSpace = errors.New("no space left for the ring")
	// ErrFull: the slowest gating reader holds the producer, or another's open claim.
	ErrFull = errors.New("ring is full: a reader, or another producer's open claim, holds the producer")
	// ErrEmpty: no record is there yet.
	ErrEmpty = errors.New("no record yet")
	// ErrRemoved: the ring was removed while this process was attached.
	ErrRemoved = errors.New("ring was removed")
	// ErrDetached: the daemon or an administrator ended this attachment.
	ErrDetached = errors.New("attachment was ended by the daemon")
	// ErrClosed: the Producer or Consumer was closed by its owner.
	ErrClosed = errors.New("attachment is closed")
	// ErrEndOfStream: a producer wrote an end record; reading may go on.
	ErrEndOfStream = errors.New("end of stream")
	// ErrNothingReserved: Commit without a Reserve before it.
	ErrNothingReserved = errors.New("commit without a reservation")
)

// RecordTooLargeError says that a payload does not fit the ring's record_max.
type RecordTooLargeError struct {
	Size, Max int // payload bytes
}

func (e *RecordTooLargeError) Error() string {
	return fmt.Sprintf("record of %d bytes is larger than the ring's record_max of %d bytes", e.Size, e.Max)
}

// PositionError says why a reader cannot start where it asked to.
type PositionError struct {
	Wanted         uint64
	Oldest, Newest uint64 // what the ring holds now: Oldest <= start <= Newest
	Inside         bool   // held, but no record starts at Wanted
}

func (e *PositionError) Error() string {
	if e.Inside {
		return fmt.Sprintf("position %d: no record starts there (the ring holds %d to %d)", e.Wanted, e.Oldest, e.Newest)
	}
	return fmt.Sprintf("position %d is not in the ring, which holds %d to %d", e.Wanted, e.Oldest, e.Newest)
}

// OverrunError is the verdict of Poll that the view it had handed out was
// overwritten while the callback looked at it: the record counts as missed.
type OverrunError struct {
	Position uint64
}

func (e *OverrunError) Error() string {
	return fmt.Sprintf("record at position %d was overwritten while it was read; slow reader", e.Position)
}

// ChecksumError says that a record's CRC32C does not fit its bytes. The record
// counts in ConsumerStats.ChecksumErrors; reading goes on behind it.
type ChecksumError struct {
	Position, Sequence uint64
	Want, Got          uint32 // as stored, as computed
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("record %d at position %d: checksum is %08x, computed %08x; its payload was altered after it was published",
		e.Sequence, e.Position, e.Want, e.Got)
}

func corruptAt(pos uint64, format string, args ...any) error {
	return fmt.Errorf("%w: at position %d: %s", ErrCorrupt, pos, fmt.Sprintf(format, args...))
}
