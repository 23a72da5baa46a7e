//go:build linux && !ringmodel

package shmring

import (
	"syscall"
	"time"
	"unsafe"
)

const (
	futexWaitOp = 0 // FUTEX_WAIT without the private flag: words are shared between processes
	futexWakeOp = 1 // FUTEX_WAKE
)

// futexWait sleeps while the word at off in b holds value, at most d. Every
// return is a reason to look again, so no error is reported. Syscall6, not
// RawSyscall: the runtime must know that this thread may block.
func futexWait(b []byte, off uint64, value uint32, d time.Duration) {
	ts := syscall.NsecToTimespec(int64(d))
	syscall.Syscall6(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(&b[off])), futexWaitOp,
		uintptr(value), uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// futexWake wakes everybody who sleeps on the word at off in b.
func futexWake(b []byte, off uint64) {
	syscall.RawSyscall(syscall.SYS_FUTEX, uintptr(unsafe.Pointer(&b[off])), futexWakeOp, 1<<30)
}
