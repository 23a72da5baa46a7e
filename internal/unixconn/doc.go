// Package unixconn is a Unix stream connection that carries messages ended by
// NUL, file descriptors beside them, and the credentials of the peer. It knows
// nothing of what the messages say.
//
// Any package may import it. It distrusts the peer: a message is bounded before
// it is read, an unfinished one can be given a time, descriptors that nobody
// asked for never enter this process, and every descriptor that it does take is
// close-on-exec and has exactly one owner: the connection until ReadMessage
// returns it, its caller afterwards. The sockets that a service manager passes
// on are taken over once (Activated) and looked at before they are used (Inherit).
//
// A descriptor is sent with the first byte of its message. The kernel may hand
// a reader the bytes of earlier messages in the same read, but it ends a read
// with the bytes that bear descriptors: so they belong to the message that the
// last byte of that read is part of. This holds for a peer that sends each
// message that bears descriptors by a sendmsg of its own, as WriteMessage and
// sd-varlink do.
package unixconn
