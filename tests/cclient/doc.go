// Package cclient tests docs/PROTOCOL.md and docs/MEMORY_LAYOUT.md by a second
// implementation: src/ is a client in C that was written from those two pages
// alone. It shares rings with the Go client, in both directions, as one producer
// and as one of many, and is killed and stopped on the way.
//
// It owns no code but tests and src/. Whoever changes the format or the protocol
// changes src/ by what the pages say, not by what the Go code does. Each test has
// a daemon of its own; processes that must be killed are the C client, or this
// test binary with a role. It distrusts the machine: every wait has an end.
//
// A record holds its producer's id and its number, 8 bytes each, and then bytes
// that follow from those two and the test's seed; so every reader can tell whether
// a record is the right one, whole, and in its order.
package cclient
