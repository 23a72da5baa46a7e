// Package wire holds the words that brokerd and its clients exchange over the
// control socket: the frames of the varlink protocol, the types of the
// interface io.brokerd.Broker, and its errors; and the binary frames that hosts
// exchange (link_*.go; docs/PROTOCOL.md, "Between hosts"). It encodes, decodes and
// checks shapes; it does no I/O, keeps no state and knows no rights.
//
// Any package may import it. Everything that it decodes comes from a peer and
// is distrusted: lengths are bounded, unknown members, wrong types and missing
// ones are errors that name the member, and nothing is read by another
// spelling than its own (encoding/json alone would take "NAME" for "name").
//
// A varlink int is a signed number of 64 bits. Go fields that cannot be
// negative are unsigned, and decoding refuses what lies above the signed range.
// Optional strings, enumerations and flags use their zero value for absent;
// optional numbers, and flags that default to true, are pointers.
package wire
