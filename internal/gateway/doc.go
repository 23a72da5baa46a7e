// Package gateway connects the rings of this host with those of other hosts: it
// mirrors rings of peers, lends its own to peers and to remote clients, and takes
// records from remote producers. It owns every TCP socket of the daemon, the
// mirrors' writers, and the readers and producers that it attaches for others.
// The daemon makes one Gateway; nobody else calls it.
//
// It has one lock. Two kinds of goroutines work under it:
//
//   - the loop (loop.go, turn.go) sleeps in epoll_wait without the lock, and with
//     it moves bytes between sockets and sessions;
//   - a door (watch.go) sleeps without the lock until rings that peers read have
//     news, and with it sends that straight to the sockets.
//
// So a record costs one wake-up from the ring to the network, and one from the
// network into the mirror. There is no goroutine per connection: only TLS
// handshakes, of which few run at a time, look-ups of names, and the making and
// removing of mirrors have goroutines of their own.
//
// It comes in two halves. The lower one is sockets: the loop, sockets that carry
// a session through TLS or without (socket.go, flow.go, parting.go,
// transport.go, tls.go, sealed.go), how they come to be (accept.go, greet.go,
// handshake.go, dial.go) and certificates (certs.go). The upper one is what is
// spoken over them: links, whose protocol is package link, and feeds.
//
// Sockets are edge triggered and registered once, for both directions: no call of
// the poller is spent on one that is busy, none on one that is idle, and what is
// not drained waits in a list of the loop for its next turn. A turn of a socket is
// one read, which goes straight to where the session wants it, and a bounded
// write; so batches grow with the load and nothing waits for a batch.
//
// It distrusts everything that comes over the network. Before a connection has
// said who it is, it may send few bytes, in little time, and only so many are in
// that state; for one more goes the oldest of the address that
// has most. With TLS nothing is allocated for it before its first record is complete. A peer
// may do what the configuration allows to the name in its verified certificate;
// without TLS names are believed. It distrusts ring memory, too: a file that
// somebody truncates ends the streams that use it, and nothing else.
package gateway
