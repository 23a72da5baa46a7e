package client

import (
	"errors"
	"fmt"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// Error is a refusal by the daemon. Error() is its message: one sentence that
// says what was wrong, where, and what to do. Name is the full varlink name,
// such as io.brokerd.Broker.RingNotFound.
type Error = wire.Error

// Refusals; errors.Is tells which one an error is.
const (
	ErrRingNotFound       = wire.ErrRingNotFound
	ErrRingExists         = wire.ErrRingExists
	ErrRingInUse          = wire.ErrRingInUse
	ErrEpochChanged       = wire.ErrEpochChanged
	ErrAttachmentNotFound = wire.ErrAttachmentNotFound
	ErrSlotsExhausted     = wire.ErrSlotsExhausted
	ErrProducerPresent    = wire.ErrProducerPresent
	ErrLimitExceeded      = wire.ErrLimitExceeded
	ErrNoSpace            = wire.ErrNoSpace
	ErrAccessDenied       = wire.ErrAccessDenied
	ErrInvalidRing        = wire.ErrInvalidRing
	ErrInvalidParameter   = wire.ErrInvalidParameter
	ErrInvalidConfig      = wire.ErrInvalidConfig
	ErrCursorInUse        = wire.ErrCursorInUse
	ErrNotReady           = wire.ErrNotReady
	ErrRingCorrupt        = wire.ErrRingCorrupt
)

// Errors of Producers and Consumers.
var (
	// ErrFull: a reader holds the producer.
	ErrFull = shmring.ErrFull
	// ErrEmpty: no record is there yet.
	ErrEmpty = shmring.ErrEmpty
	// ErrEndOfStream: a producer wrote an end record; reading may go on.
	ErrEndOfStream = shmring.ErrEndOfStream
	// ErrRemoved: the ring was removed; *RemovedError says what became of its name.
	ErrRemoved = shmring.ErrRemoved
	// ErrDetached: the daemon or an administrator ended the attachment; the text
	// says why.
	ErrDetached = shmring.ErrDetached
	// ErrClosed: the Producer, Consumer or Client was closed by its owner.
	ErrClosed = shmring.ErrClosed
	// ErrCorrupt: the ring holds what no correct process writes; *CorruptError says
	// what became of its name.
	ErrCorrupt = shmring.ErrCorrupt
	// ErrFault: the ring's memory is gone; *CorruptError as well.
	ErrFault = shmring.ErrFault
	// ErrVersion: the ring was made by a brokerd with another format of rings.
	ErrVersion = shmring.ErrVersion
)

// ErrUnreachable says that the daemon does not answer: its socket is absent,
// nobody listens, the connection broke, or the context ended before it came
// back. The error in hand wraps the cause and names the socket.
var ErrUnreachable = errors.New("brokerd is unreachable")

// ErrLost says that the daemon came back and does not know an attachment any
// more, or knows another ring under its name. The cause is wrapped: a refusal,
// and *RemovedError where the ring is gone.
var ErrLost = errors.New("attachment is lost")

// ErrProtocol says that what answers on the socket does not speak like brokerd.
var ErrProtocol = errors.New("unexpected reply")

// RecordTooLargeError says that a payload does not fit record_max.
type RecordTooLargeError = shmring.RecordTooLargeError

// PositionError says why a Consumer cannot start at a position.
type PositionError = shmring.PositionError

// OverrunError is the verdict of Poll that a record was overwritten while its
// callback looked at it.
type OverrunError = shmring.OverrunError

// ChecksumError says that the bytes of a record are not those that were
// published, on a ring with checksums. The record is left out and counted in
// ConsumerStats.ChecksumErrors; reading goes on behind it.
type ChecksumError = shmring.ChecksumError

// IsRefused tells whether err is, or wraps, a refusal by the daemon.
func IsRefused(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal)
}

// unreachable wraps what happened on the way to the daemon at socket.
func unreachable(socket string, cause error) error {
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, socket, cause)
}
