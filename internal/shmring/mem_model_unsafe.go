//go:build ringmodel

package shmring

import (
	"encoding/binary"
	"sync/atomic"
	"time"
	"unsafe"
)

// The functions of mem_load_unsafe.go, mem_unsafe.go, order_*_unsafe.go, futex_unsafe.go and
// membarrier_linux.go for the model check (model_test.go): each access is a step
// that its scheduler may interleave with the steps of all other threads.
// Outside a model run they act directly.

// scheduler is what a model run puts in the way of every access.
type scheduler interface {
	load(b []byte, off uint64, bytes int) uint64
	store(b []byte, off uint64, v uint64, bytes int, fence bool)
	update(b []byte, off uint64, bytes int, f func(old uint64) uint64) (old uint64)
	futexWait(b []byte, off uint64, value uint32)
	futexWake(b []byte, off uint64)
	membarrier()
}

var model scheduler

func rawLoad(b []byte, off uint64, bytes int) uint64 {
	if bytes == 4 {
		return uint64(atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[off]))))
	}
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&b[off])))
}

func rawStore(b []byte, off uint64, v uint64, bytes int) {
	if bytes == 4 {
		atomic.StoreUint32((*uint32)(unsafe.Pointer(&b[off])), uint32(v))
		return
	}
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&b[off])), v)
}

func load64(b []byte, off uint64) uint64 {
	if model != nil {
		return model.load(b, off, 8)
	}
	return rawLoad(b, off, 8)
}

func load32(b []byte, off uint64) uint32 {
	if model != nil {
		return uint32(model.load(b, off, 4))
	}
	return uint32(rawLoad(b, off, 4))
}

func modelStore(b []byte, off, v uint64, bytes int, fence bool) {
	if model != nil {
		model.store(b, off, v, bytes, fence)
		return
	}
	rawStore(b, off, v, bytes)
}

func store64(b []byte, off uint64, v uint64)    { modelStore(b, off, v, 8, true) }
func store32(b []byte, off uint64, v uint32)    { modelStore(b, off, uint64(v), 4, true) }
func storeRel64(b []byte, off uint64, v uint64) { modelStore(b, off, v, 8, false) }
func put64(b []byte, off uint64, v uint64)      { modelStore(b, off, v, 8, false) }

// put32 writes what a part's checksum is made of, which no model run has.
func put32(b []byte, off uint64, v uint32) { binary.LittleEndian.PutUint32(b[off:], v) }

func add32(b []byte, off uint64, delta uint32) uint32 {
	if model != nil {
		return uint32(model.update(b, off, 4, func(old uint64) uint64 { return uint64(uint32(old) + delta) })) + delta
	}
	return atomic.AddUint32((*uint32)(unsafe.Pointer(&b[off])), delta)
}

func cas64(b []byte, off uint64, old, new uint64) bool {
	if model != nil {
		return old == model.update(b, off, 8, func(now uint64) uint64 {
			if now == old {
				return new
			}
			return now
		})
	}
	return atomic.CompareAndSwapUint64((*uint64)(unsafe.Pointer(&b[off])), old, new)
}

// Payloads move word by word, so that a copy can be torn at every word.
func copyIn(b []byte, off uint64, src []byte) {
	if model == nil {
		copy(b[off:], src)
		return
	}
	for i := 0; i+8 <= len(src); i += 8 {
		model.store(b, off+uint64(i), *(*uint64)(unsafe.Pointer(&src[i])), 8, false)
	}
}

func copyOut(dst []byte, b []byte, off uint64) {
	if model == nil {
		copy(dst, b[off:])
		return
	}
	for i := 0; i+8 <= len(dst); i += 8 {
		*(*uint64)(unsafe.Pointer(&dst[i])) = model.load(b, off+uint64(i), 8)
	}
}

func loadsBefore(*uint64) {}

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

func futexWait(b []byte, off uint64, value uint32, _ time.Duration) {
	if model != nil {
		model.futexWait(b, off, value)
	}
}

func futexWake(b []byte, off uint64) {
	if model != nil {
		model.futexWake(b, off)
	}
}

func membarrier() bool {
	if model != nil {
		model.membarrier()
	}
	return true
}

func registerMembarrier() bool { return true }

// HasMembarrier as in membarrier_linux.go.
func HasMembarrier() bool { return true }

func schedYield() {}

// A poller is not part of the model: its sleep is sleepOnce, ring by ring.
type futexWaiter struct{}

func newFutexWaiter([]byte, uint64, uint32) futexWaiter { return futexWaiter{} }

func futexWaitAny([]futexWaiter, time.Duration) {}
