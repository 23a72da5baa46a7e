// Package torture starts the built daemons, two of them with a link in between,
// and dozens of processes that produce and read, and kills, stops and continues
// all of these at random instants. The test binary, re-executed, is what is killed
// (victim_test.go); brokerctl is, too.
//
// What each process did is in its book, a small mapped file that survives its kill
// (book_test.go). What each ring has had is in its truth, which a reader of the test
// itself keeps (truth_test.go); the truth is held against the books of the producers,
// and the books of all other readers against the truth (judge_test.go). forged_test.go
// shows that a forged book or truth is found out.
//
// It owns all processes and folders that it makes; they end with the test, but for the
// books that prove a violation. It distrusts everybody: every record bears who made it, its
// number and a checksum of its own, which are checked where it arrives.
//
//	go test ./tests/torture                                        30 s
//	go test ./tests/torture -run Torture -timeout 40m -args -for 10m -kills 10000
//	... -args -seed N                                              the same choices again
//
// A seed repeats what is chosen, not what the machine makes of it.
package torture
