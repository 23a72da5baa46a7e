// Package linkclient tests the part "Between hosts" of docs/PROTOCOL.md by a
// second implementation: src/ is a client in Python, with the standard library
// only, that was written from that page alone. It reads, mirrors and writes rings
// of a real brokerd, over plain TCP and over TLS, over connections that are cut;
// and it misbehaves, to see that both sides are told why it was refused.
//
// It owns no code but tests and src/. Whoever changes the protocol changes src/ by
// what the page says, not by what the Go code does. Each test has a daemon of its
// own; the processes that it starts end with it. It distrusts the machine: every
// wait has an end.
package linkclient
