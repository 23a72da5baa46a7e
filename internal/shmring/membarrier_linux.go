//go:build !ringmodel

package shmring

import (
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	membarrierGlobalExpedited         = 1 << 1
	membarrierRegisterGlobalExpedited = 1 << 2
)

// membarrier makes every running thread of every registered process pass a full
// fence before it returns.
func membarrier() bool {
	_, _, errno := syscall.RawSyscall(unix.SYS_MEMBARRIER, membarrierGlobalExpedited, 0, 0)
	return errno == 0
}

// registerMembarrier makes this process one that membarrier reaches.
func registerMembarrier() bool {
	_, _, errno := syscall.RawSyscall(unix.SYS_MEMBARRIER, membarrierRegisterGlobalExpedited, 0, 0)
	return errno == 0
}

// HasMembarrier says whether this process may use membarrier. A reader without
// it says so when it attaches (no_membarrier), and producers then commit with a
// full fence.
func HasMembarrier() bool { return membarrier() }

func schedYield() { syscall.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
