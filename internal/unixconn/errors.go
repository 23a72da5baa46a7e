package unixconn

import "errors"

// Errors of Listen.
var (
	// ErrPathTooLong is for a path that no socket address can hold. Dial
	// returns it too.
	ErrPathTooLong = errors.New("socket path too long")
	// ErrInUse is for a path that another process answers on.
	ErrInUse = errors.New("socket in use")
	// ErrNotSocket is for a path where something else lies.
	ErrNotSocket = errors.New("not a socket")
)

// Errors of what a service manager passes on.
var (
	// ErrActivation is for an environment that announces descriptors which are
	// not there, or not in a way that can be understood.
	ErrActivation = errors.New("the service manager's descriptors cannot be taken over")
	// ErrNotListening is for a descriptor that is not a Unix stream socket which
	// listens at a path.
	ErrNotListening = errors.New("not a listening Unix stream socket")
)

// Errors of Dial.
var (
	// ErrAbsent is for a path where nothing lies.
	ErrAbsent = errors.New("socket does not exist")
	// ErrRefused is for a socket that nobody listens on.
	ErrRefused = errors.New("nobody listens on the socket")
	// ErrPermission is for a socket that the caller may not open.
	ErrPermission = errors.New("no permission to open the socket")
)

// Errors of ReadMessage and WriteMessage. After any of them the connection
// should be closed, for the next message cannot be found.
var (
	// ErrMessageTooLarge is for a message longer than the reader allows.
	ErrMessageTooLarge = errors.New("message too large")
	// ErrPartialTimeout is for a message that was begun and not finished in
	// time.
	ErrPartialTimeout = errors.New("message not finished in time")
	// ErrTooManyFiles is for a message with more than FilesMax descriptors.
	ErrTooManyFiles = errors.New("too many file descriptors in one message")
	// ErrFilesTruncated is for descriptors that the kernel could not hand
	// over. All that came with them are closed.
	ErrFilesTruncated = errors.New("file descriptors were lost on the way")
	// ErrUnterminated is for a message to be written that does not end with its
	// only NUL.
	ErrUnterminated = errors.New("message does not end with its only NUL")
)
