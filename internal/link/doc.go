// Package link is the protocol between hosts as a state machine: handshake,
// streams, credit, gaps, resume, beats. docs/PROTOCOL.md, "Between hosts",
// describes the same frames for other languages.
//
// # What it owns
//
// One side of one connection (Conn): which frames may come now and what they
// mean, what is to be sent and when. It does no I/O and has no clock: bytes go
// in by Input or Direct and Landed, come out of Output and Sent, and the time,
// in monotonic nanoseconds, is an argument. It starts no goroutine and takes no
// lock: a Conn is used by one goroutine at a time.
//
// # Who calls it
//
// The gateway, on an epoll loop, and the client library, for one ring at a time.
// Both give it the ends of its streams: a *shmring.Consumer that takes spans out
// of a ring, or a Sink that takes them in. They stay the caller's. Once a stream
// has ended, by End or by an EventEnd, the Conn does not touch its end any more.
//
// # How a stream flows
//
// The sender sends ring bytes up to the limit that the receiver granted, straight
// from the ring where its reader holds producers, else from a copy. What the ring
// does not hold any more is a gap, which the sender finds by comparing where it
// stands with where its reader is: nothing else counts losses, so that they add
// up whatever happened. The receiver puts the bytes into the memory of its sink,
// checks them, has them committed, and tells what it keeps. An end that is sent
// is answered with an end; only then is the number of the stream free again.
//
// # What it distrusts
//
// The peer, in everything: kinds, order, numbers, positions, lengths, checksums.
// What no correct peer sends ends the connection with an *Error and a Close frame
// that says why. Bytes that are no records end their stream. A peer that does
// not read costs at most OutputBytesMax, one part of a ring and
// controlBytesMax.
package link
