//go:build !ringmodel

package shmring

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// Access to shared words. b is a whole mapping (or, in tests, heap memory) that
// starts on a page, off is aligned to the word and in range by construction:
// the bounds check of b[off] is what is left to protect against a mistake here.
//
// A file of the same functions under the build tag ringmodel lets the model
// check run every caller, unchanged, through all interleavings of these steps.

func load64(b []byte, off uint64) uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&b[off])))
}

func load32(b []byte, off uint64) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[off])))
}

// store64 is sequentially consistent: later loads come after it (amd64 XCHG).
func store64(b []byte, off uint64, v uint64) {
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&b[off])), v)
}

func store32(b []byte, off uint64, v uint32) {
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b[off])), v)
}

func add32(b []byte, off uint64, delta uint32) uint32 {
	return atomic.AddUint32((*uint32)(unsafe.Pointer(&b[off])), delta)
}

func cas64(b []byte, off uint64, old, new uint64) bool {
	return atomic.CompareAndSwapUint64((*uint64)(unsafe.Pointer(&b[off])), old, new)
}

// put64 is a plain store, published by a later storeRel64.
func put64(b []byte, off uint64, v uint64) {
	binary.LittleEndian.PutUint64(b[off:off+8], v)
}

// copyIn and copyOut move payload bytes.
func copyIn(b []byte, off uint64, src []byte) { copy(b[off:off+uint64(len(src))], src) }

func copyOut(dst []byte, b []byte, off uint64) { copy(dst, b[off:off+uint64(len(dst))]) }

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
