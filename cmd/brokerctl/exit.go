package main

import (
	"errors"
	"fmt"

	"brokerd/client"
)

// Exit codes, as the help of brokerctl lists them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitRefused     = 4
	exitMissed      = 5
)

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// missedError says that a reader that should see every record did not.
type missedError struct {
	ring    string
	policy  client.Policy
	records uint64
	demoted bool
}

func (e *missedError) Error() string {
	why := ""
	if e.demoted {
		why = ": it held the producer longer than demote_after and was made a skip reader"
	}
	return fmt.Sprintf("ring %s: this %s reader missed %d records%s", e.ring, e.policy, e.records, why)
}

// checksumError says that records were left out because their bytes are not those
// that were published.
type checksumError struct {
	ring    string
	records uint64
}

func (e *checksumError) Error() string {
	return fmt.Sprintf("ring %s: %d records had a wrong checksum and were left out: something wrote over them", e.ring, e.records)
}

func exitCode(err error) int {
	var usage *usageError
	var missed *missedError
	var checksum *checksumError
	var position *client.PositionError
	var unacknowledged *client.UnacknowledgedError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &checksum):
		return exitFailed
	case errors.As(err, &missed):
		return exitMissed
	case errors.As(err, &unacknowledged), errors.Is(err, client.ErrLost):
		return exitFailed
	case errors.Is(err, client.ErrUnreachable):
		return exitUnreachable
	case client.IsRefused(err), errors.As(err, &position):
		return exitRefused
	default:
		return exitFailed
	}
}
