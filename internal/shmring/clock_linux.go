//go:build !ringmodel

package shmring

import "golang.org/x/sys/unix"

const clockMonotonic = unix.CLOCK_MONOTONIC

// monotonicNanos is the clock that futex_waitv counts its deadline by.
func monotonicNanos() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail for this clock
	return now.Nano()
}
