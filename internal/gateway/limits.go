package gateway

import "time"

// Every bound of the socket half that is not a setting.
const (
	// unauthenticatedBytesMax is what a connection may send before it has said
	// who it is, the bytes of a TLS handshake included.
	unauthenticatedBytesMax = 16 << 10
	// unauthenticatedMax is how many connections may be in that state at a time;
	// for one more goes the oldest of the address that has most.
	unauthenticatedMax = 256
	// unauthenticatedPerAddressMax is how many of them one address may have; the
	// oldest of that address goes for a new one.
	unauthenticatedPerAddressMax = 64
	// handshakeTimeoutDefault is how long a connection may be in that state.
	handshakeTimeoutDefault = 5 * time.Second
	// handshakesMax is how many TLS handshakes run at once for connections that
	// come in, and as many again for those that go out. Each has a goroutine.
	handshakesMax = 64
	// handshakeStallMax is how long one may take while others wait for its place.
	handshakeStallMax = 500 * time.Millisecond
	// handshakesPerAddressMax is how many of those that come in run for one
	// address, so that a slow or hostile host cannot take all; a new address may
	// end one of those of an address that has more connections waiting.
	handshakesPerAddressMax = 4

	// reservedPart: one in so many of the descriptors that the process may have is
	// not for sockets of the gateway but for rings, and for clients of this host; and
	// one in so many of these sockets is not for one name.
	reservedPart = 4

	// deadAfterDefault is how long a connection is silent before the kernel asks
	// whether the peer is still there.
	deadAfterDefault = 3 * time.Second
	// keepAliveProbesMax is how often it asks, once a second, before it gives up.
	keepAliveProbesMax = 3
	// unackedDeadAfterMax is for how many times deadAfter sent bytes may stay
	// unacknowledged, or wait for room at a peer that reads nothing, before the
	// kernel ends the connection.
	unackedDeadAfterMax = 4

	// receiveBytesMax is the size of the buffer that all sockets share: what one
	// read takes without a landing place. One read is one turn of a socket.
	receiveBytesMax = 256 << 10
	// aheadBytesMax is what a read takes beyond a landing place, or takes right
	// after such a one without: what comes there has to be copied once more, and
	// most of it soon has a landing place, too.
	aheadBytesMax = 4 << 10
	// flushTurnBytesMax is what one socket may send before the next has its turn.
	flushTurnBytesMax = 256 << 10
	// lockHoldMax is how long the loop works before others may have the lock.
	lockHoldMax = 100 * time.Microsecond
	// tickMin is the least time between two ticks that a session asks for.
	tickMin = 100 * time.Microsecond
	// iovecsMax is how many slices one write takes: the kernel's IOV_MAX.
	iovecsMax = 1024
	// sealBytesMax is how much plain text is encrypted ahead of a socket: what
	// does not fit into it is kept for it, and nothing more is sealed until it
	// has gone.
	sealBytesMax = 64 << 10
	// recordBytesMax is the plain text of one TLS record.
	recordBytesMax = 16 << 10

	// eventsMax is how many events one look at the poller takes.
	eventsMax = 128
	// acceptTurnMax is how many connections one turn accepts from a listener.
	acceptTurnMax = 32
	// acceptRetryMin is the pause after an accept that failed for want of
	// descriptors or memory, when nobody can be closed for it.
	acceptRetryMin = 100 * time.Millisecond
	// beatMax is the longest the loop goes without a beat.
	beatMax = 500 * time.Millisecond

	// lastWordsBytesMax is what a socket may send while it is closed.
	lastWordsBytesMax = 4 << 20
	// lingerMax is how many closed sockets wait at a time for their peer to read
	// the last words, and no more than one in lingerPart of those that there may be;
	// lingerTimeMax how long, lingerBytesMax how much of what
	// the peer still sends is thrown away for it.
	lingerMax      = 256
	lingerPart     = 8
	lingerTimeMax  = time.Second
	lingerBytesMax = 1 << 20
	// endLingerMax is how long the loop lingers when it ends.
	endLingerMax = 250 * time.Millisecond

	// dialTimeoutDefault bounds one attempt: look-up, connect, TLS handshake.
	dialTimeoutDefault = 5 * time.Second
	// dialAddressesMax is how many addresses of a name one attempt tries.
	dialAddressesMax = 8
	// dialAddressMin is the least time one address gets of an attempt, as far as
	// that has so much left.
	dialAddressMin = time.Second

	// certFileBytesMax bounds a PEM file.
	certFileBytesMax = 1 << 20
)
