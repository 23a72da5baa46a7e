// Package bugs checks the checkers: bugs that are planted in a copy of the code have
// to be found, those of internal/shmring/testdata/bugs by the model of the ring,
// those of internal/link/testdata/bugs by the simulator of the link.
//
// A patch says in what stands before its first "---" what the bug is; and, where a
// line begins with "test: ", which test is to find it (its subtest behind a slash).
// A bug counts as caught when the checker says so itself: a copy that does not
// build, panics or takes too long is missed. Nobody imports it.
package bugs
