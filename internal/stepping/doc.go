// Package stepping runs operations in processes that are killed, or stopped, between
// every two of their stores to shared memory (internal/shmring/mem_step_unsafe.go),
// for the tests of shmring and broker. All but this comment is under the build tag
// ringstep.
//
// Each operation runs in a new process once for each of its stores and each Mode, on
// a folder of its own on tmpfs. The test's process has all other parts (Part): the
// daemon, producers, readers, and the books. It distrusts nobody.
package stepping
