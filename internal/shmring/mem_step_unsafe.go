//go:build ringstep

package shmring

import (
	"encoding/binary"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// The stores of mem_unsafe.go and order_*_unsafe.go for the tests that end or stop a
// process between every two of its stores to shared memory. The stores are real, and
// so are the signals: before the store that it was armed for the process sends itself
// SIGKILL or SIGSTOP, and the kernel lets the thread that did so execute nothing more.
// The store before is in memory, that one is not. Copies of payload are two stores.
//
// The tests are TestSteps here and in internal/broker, on the loop of internal/stepping:
// an operation runs to its end once, which counts its stores, N; then once for each
// k of 1..N+1 and each of kill, stop, and stop with its slot taken back, in a process
// and on a ring of its own. The test's process is everybody else: while the process is
// stopped or dead and no daemon has acted yet, others must go on, or be held, as the
// shared words say; then the daemon does what it does, the next process takes over, and
// the books of a lossless, a skip and a latest reader must balance. For a kill the
// outcome (nothing, a gap, a record) must not go back as k grows, so that what was
// committed at one k is not lost at a later one.
//
// Not seen are the stores that make a ring's header, before anybody knows of the
// ring, and what callers write to memory that they were handed (Reserve, Place): the
// tests fill it by copyIn.

// stepper counts stores while it is armed. It is for one goroutine.
type stepper struct {
	armed     bool
	taken, at uint64
	signal    syscall.Signal
}

var steps stepper

// stepCut is what a store panics with that was armed without a signal.
type stepCut struct{}

// ArmSteps counts stores to shared memory from now on and sends this process signal
// before the store number at, counted from 1; 0 only counts. The caller has locked
// its goroutine to its thread.
func ArmSteps(at uint64, signal syscall.Signal) {
	steps = stepper{armed: true, at: at, signal: signal}
}

// DisarmSteps ends what ArmSteps began and returns how many stores there were. When
// at was one more, the process sends itself the signal now, behind the last store.
func DisarmSteps() (taken uint64) {
	steps.armed = false
	if steps.at == steps.taken+1 {
		steps.strike()
	}
	return steps.taken
}

func step() {
	if !steps.armed {
		return
	}
	if steps.taken++; steps.taken == steps.at {
		steps.strike()
	}
}

// strike sends the signal to this thread: one to the process would be taken by any
// of its threads, and this one would run on for a while.
func (s *stepper) strike() {
	if s.signal == 0 {
		s.armed = false
		panic(stepCut{})
	}
	tid, _, _ := syscall.RawSyscall(syscall.SYS_GETTID, 0, 0, 0)
	syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(syscall.Getpid()), tid, uintptr(s.signal))
}

func store64(b []byte, off uint64, v uint64) {
	step()
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&b[off])), v)
}

func storeRel64(b []byte, off uint64, v uint64) { store64(b, off, v) }

func store32(b []byte, off uint64, v uint32) {
	step()
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b[off])), v)
}

func add32(b []byte, off uint64, delta uint32) uint32 {
	step()
	return atomic.AddUint32((*uint32)(unsafe.Pointer(&b[off])), delta)
}

func cas64(b []byte, off uint64, old, new uint64) bool {
	step()
	return atomic.CompareAndSwapUint64((*uint64)(unsafe.Pointer(&b[off])), old, new)
}

func put64(b []byte, off uint64, v uint64) {
	step()
	binary.LittleEndian.PutUint64(b[off:off+8], v)
}

func put32(b []byte, off uint64, v uint32) {
	step()
	binary.LittleEndian.PutUint32(b[off:off+4], v)
}

func copyIn(b []byte, off uint64, src []byte) {
	half := len(src) / 2
	step()
	copy(b[off:off+uint64(half)], src[:half])
	step()
	copy(b[off+uint64(half):off+uint64(len(src))], src[half:])
}

// loadsBefore as in order_unsafe.go: the word is private, and no step.
func loadsBefore(private *uint64) { atomic.StoreUint64(private, 1) }
