//go:build amd64 && !race && !ringmodel && !ringstep

package shmring

import "unsafe"

// storeRel64 is a store that no earlier load or store may pass: on amd64 an
// ordinary MOV, because the hardware keeps stores in order and lets no store
// pass an earlier load. atomic.StoreUint64 would be XCHG, which waits for the
// store buffer to drain: some 6 ns a record. What is left is the compiler:
// Go's SSA form threads memory operations through one chain, so a store keeps
// its place among the stores before it. order_test.go looks at the
// instructions that the compiler makes of a commit, so that a change shows.
//
// It does not order later loads after the store; who needs that uses store64.
func storeRel64(b []byte, off uint64, v uint64) {
	*(*uint64)(unsafe.Pointer(&b[off])) = v
}

// loadsBefore orders the payload loads before it with the loads after it:
// amd64 does not reorder loads.
func loadsBefore(*uint64) {}
