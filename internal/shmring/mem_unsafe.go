//go:build !ringmodel && !ringstep

package shmring

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"
)

// Stores to shared words; mem_load_unsafe.go says what b and off are. storeRel64 is in
// order_*_unsafe.go.

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

// put32 is like put64, and off need not be aligned.
func put32(b []byte, off uint64, v uint32) {
	binary.LittleEndian.PutUint32(b[off:off+4], v)
}

// copyIn moves payload bytes.
func copyIn(b []byte, off uint64, src []byte) { copy(b[off:off+uint64(len(src))], src) }
