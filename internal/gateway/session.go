package gateway

import "errors"

// session is what is spoken over a socket: a link or a feed. The loop calls it
// with its lock held, and never two of its methods at once; in each of them the
// session may call every method of its socket. An error of landed, input, sent
// or tick is the end: what output has by then is flushed, as far as it fits, and
// closed is called with the error.
type session interface {
	// direct is memory for the next bytes of the stream, nil for none. It stays
	// valid until the next call of the session. It may be mapped: a fault there
	// ends this session and nothing else.
	direct() []byte
	// landed says that the first n bytes of direct are there, n > 0.
	landed(now int64, n int) error
	// input takes all of p, which is the caller's again afterwards.
	input(now int64, p []byte) error
	// output is what is to be sent, in order, nil for nothing. The slices stay
	// valid and unchanged until sent has covered them. They may be mapped.
	output() [][]byte
	// sent says that the first n bytes of output have been handed on, n > 0.
	sent(n int) error
	// tick does what is due by now, and says when it wants to be called again, at
	// a time of the loop's clock; math.MaxInt64 for never. It is called once when
	// the session begins, after everything that came in, and at that time.
	tick(now int64) (next int64, err error)
	// closed is the last call: the socket is gone. It comes exactly once, before
	// socket.close returns.
	closed(cause error)
}

// Why a connection ended, or never became one. What closed, listenOptions.Refused
// and dialOptions.Done are told wraps one of these, or is the session's own error
// or that of the system.
var (
	// errEnded: the peer closed the connection in an orderly way.
	errEnded = errors.New("the peer closed the connection")
	// errBroken: the connection failed.
	errBroken = errors.New("the connection broke")
	// errFault: memory that the session gave is not there any more.
	errFault = errors.New("memory of the ring is gone: somebody has truncated its file")
	// errSlow: a connection had not said who it is when its time was over.
	errSlow = errors.New("the peer did not say who it is in time")
	// errChatty: a connection had not said who it is in so many bytes.
	errChatty = errors.New("the peer sent too much before it said who it is")
	// errCrowded: it had to go for a newer one.
	errCrowded = errors.New("too many connections wait to say who they are")
	// errNotTLS: something else than TLS is spoken where TLS was expected.
	errNotTLS = errors.New("no TLS")
	// errHandshake: the TLS handshake failed; the text says why.
	errHandshake = errors.New("TLS handshake")
	// errResolve: the name of a host could not be looked up.
	errResolve = errors.New("look-up failed")
	// errStopped: the loop has ended.
	errStopped = errors.New("the gateway stops")
)
