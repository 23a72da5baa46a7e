package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// pin binds the calling goroutine to a thread, and that to a core; negative: to
// none. In this order, because the runtime starts no threads from a locked one,
// and those would inherit the core.
func pin(cpu int) error {
	if cpu < 0 {
		return nil
	}
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("bind to core %d: %w", cpu, err)
	}
	return nil
}
