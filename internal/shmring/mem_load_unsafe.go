//go:build !ringmodel

package shmring

import (
	"sync/atomic"
	"unsafe"
)

// Loads of shared words. b is a whole mapping (or, in tests, heap memory) that
// starts on a page, off is aligned to the word and in range by construction:
// the bounds check of b[off] is what is left to protect against a mistake here.
//
// The stores are in mem_unsafe.go. Two more sets of these functions stand in for
// them under build tags: ringmodel lets the model check run every caller, unchanged,
// through all interleavings of these steps (mem_model_unsafe.go), ringstep ends or
// stops the process before a store (mem_step_unsafe.go).

func load64(b []byte, off uint64) uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&b[off])))
}

func load32(b []byte, off uint64) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[off])))
}

// copyOut moves payload bytes.
func copyOut(dst []byte, b []byte, off uint64) { copy(dst, b[off:off+uint64(len(dst))]) }

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
