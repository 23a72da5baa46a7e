package link

import (
	"errors"
	"fmt"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// ErrStream is returned for a stream that does not exist, or is not where the
// call belongs: of another mode, or ended meanwhile. An answer to an event may meet
// it in good order, for the end can come in the same piece of input; its own event
// follows. The same goes for ErrNotReady and a Close.
var ErrStream = errors.New("no such stream in this state")

// ErrStreams is returned for one stream more than the peer takes.
var ErrStreams = errors.New("too many streams on this connection")

// ErrNotReady is returned for a call before the peer said welcome, or after the
// connection was closed.
var ErrNotReady = errors.New("connection is not open for streams")

// Error ends a connection: what the peer did, or what became of it. A Close frame
// that says so is in the output.
type Error struct {
	Code    wire.LinkCode
	Message string
}

// Error gives the code's word and the message.
func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }

// fail ends the connection: what was not begun to be sent is dropped, and a Close
// frame says why. The first failure stays.
func (c *Conn) fail(code wire.LinkCode, format string, args ...any) *Error {
	if c.failed == nil {
		c.failed = &Error{Code: code, Message: fmt.Sprintf(format, args...)}
		c.Close(code, c.failed.Message)
	}
	return c.failed
}

// codeOf is what a stream ends with when its end, in a ring, has failed.
func codeOf(err error) wire.LinkCode {
	var chunk *shmring.ChunkError
	switch {
	case errors.Is(err, shmring.ErrRemoved):
		return wire.CodeRemoved
	case errors.Is(err, shmring.ErrDetached):
		return wire.CodeDetached
	case errors.As(err, &chunk), errors.Is(err, shmring.ErrCorrupt), errors.Is(err, shmring.ErrFault):
		return wire.CodeCorrupt
	}
	return wire.CodeInternal
}
