//go:build (!amd64 || race) && !ringmodel && !ringstep

package shmring

import (
	"sync/atomic"
	"unsafe"
)

// storeRel64 is a store that no earlier load or store may pass (arm64 STLR).
func storeRel64(b []byte, off uint64, v uint64) {
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&b[off])), v)
}

// loadsBefore orders the payload loads before it with the loads after it. On
// arm64 an acquire load orders only what follows it, so a release store to a
// private word (STLR, after all earlier loads) comes first, and a following
// atomic load (LDAR) is not moved before an STLR.
func loadsBefore(private *uint64) { atomic.StoreUint64(private, 1) }
