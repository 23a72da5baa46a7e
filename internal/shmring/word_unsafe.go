package shmring

import "unsafe"

// newWord is private memory for one futex, aligned, on a cache line of its own. The
// garbage collector does not move it.
func newWord() []byte {
	line := new([8]uint64)
	return unsafe.Slice((*byte)(unsafe.Pointer(line)), len(line)*8)
}
