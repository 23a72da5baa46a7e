package main

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// now is CLOCK_MONOTONIC, which the processes of a host share, in ns.
func now() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // cannot fail for this clock
	return ts.Nano()
}

// pace calls say args[0] times, at fixed instants args[1] ns apart; one that comes late is not moved.
func pace(args []string, say func() error) error {
	count, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	gap, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	next := now() + 100*gap
	for range count {
		ts := unix.NsecToTimespec(next)
		for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
		}
		if err := say(); err != nil {
			return err
		}
		next += gap
	}
	return nil
}
