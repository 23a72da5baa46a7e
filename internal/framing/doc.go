// Package framing tells messages apart in a byte stream: what a feed receives
// from an exchange is cut into frames, and records are framed to be sent.
//
// # What it owns
//
// The formats, and nothing else: no sockets, no rings, no clock.
//
//	line   the bytes before a newline; a carriage return stays
//	u16be  behind a big-endian length of two bytes, which does not count itself
//	u32be  the same with four bytes
//	fix    a whole FIX message, from 8= to the checksum's delimiter
//
// # Who may call it
//
// The gateway, for its feeds. A Splitter belongs to one connection and is used
// by one goroutine at a time.
//
// # What it distrusts
//
// Every byte. A stream is refused at the first byte that no correct sender could
// have sent there, with its offset in the stream and an excerpt; what was whole
// before it has been delivered. A Splitter holds at most one frame of its limit
// and what one Add brought.
package framing
