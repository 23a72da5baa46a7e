//go:build linux && !ringmodel

package shmring

import (
	"syscall"
	"time"
	"unsafe"
)

// sysFutexWaitv is the number of futex_waitv on every architecture.
const sysFutexWaitv = 449

// futexWaiter is struct futex_waitv of linux/futex.h.
type futexWaiter struct {
	value   uint64
	address uint64 // of a mapping, which the garbage collector does not move
	flags   uint32
	_       uint32
}

// futexSize32 is FUTEX2_SIZE_U32, without the private flag: words are shared
// between processes.
const futexSize32 = 2

func newFutexWaiter(b []byte, off uint64, value uint32) futexWaiter {
	return futexWaiter{value: uint64(value), address: uint64(uintptr(unsafe.Pointer(&b[off]))), flags: futexSize32}
}

// futexWaitAny sleeps while each of the words holds its value, at most d. Every
// return is a reason to look again. A kernel before 5.16 has no futex_waitv: then
// the first word alone wakes, and the sleep is short.
func futexWaitAny(waiters []futexWaiter, d time.Duration) {
	until := syscall.NsecToTimespec(monotonicNanos() + int64(d))
	_, _, errno := syscall.Syscall6(sysFutexWaitv, uintptr(unsafe.Pointer(&waiters[0])), uintptr(len(waiters)),
		0, uintptr(unsafe.Pointer(&until)), clockMonotonic, 0)
	if errno == syscall.ENOSYS {
		futexWaitFirst(waiters, d)
	}
}

func futexWaitFirst(waiters []futexWaiter, d time.Duration) {
	w := &waiters[0]
	ts := syscall.NsecToTimespec(int64(min(d, sleepNoWake)))
	syscall.Syscall6(syscall.SYS_FUTEX, uintptr(w.address), futexWaitOp, uintptr(w.value), uintptr(unsafe.Pointer(&ts)), 0, 0)
}
