// Package crash kills brokerd at every step of what it does, starts the next one and
// compares with what must be: a ring is there or not, never half; nothing is left
// lying about; attachments are as their processes were told; memory is what the
// rings that are there take; whoever uses another ring loses nothing; and who was
// interrupted can ask again.
//
// A step is a system call that changes what others can see: a file made, written to,
// renamed or deleted, memory mapped, a reply sent. The daemon is killed right before
// the first of them, then before the second, until the operation comes to its end.
// What lies between two stores to shared memory, where no system call is, is the
// affair of internal/shmring.
//
// The calls are counted by a tracer of this package (tracer_linux_test.go): a role of
// the test binary, which follows all threads of the daemon. strace counts for each
// thread by itself, and a Go program changes threads as it likes.
//
// The other tests here lay files beside the rings that are not as a daemon leaves
// them: foreign, damaged, of another version or boot.
package crash
