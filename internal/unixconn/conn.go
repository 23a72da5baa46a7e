package unixconn

import (
	"net"
	"os"
	"sync"
	"time"
)

// Limits of one message and of one connection.
const (
	// FilesMax is how many descriptors the kernel carries with one message.
	FilesMax = 253
	// idleBytesMax is the largest buffer that a connection keeps between
	// messages.
	idleBytesMax = 4 << 10
)

// Conn is one connection. One goroutine may read and another write at the same
// time; Close, Peer and the deadlines may be called by any at any time.
type Conn struct {
	socket  *net.UnixConn
	peer    Peer
	peerErr error

	reading sync.Mutex // held by ReadMessage; guards inbox
	inbox   inbox

	deadlines sync.Mutex // guards the two below
	reader    time.Time  // set by SetReadDeadline
	partial   time.Time  // until when the message begun must be finished
}

// Peer is who is at the other end of a connection, as of its connect (or of its
// listen, for a connection that was dialled).
type Peer struct {
	PID    int // 0 when the process is in a namespace that is not visible from here
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary groups; always nil for a dialled connection
	// PIDFD refers to the process and cannot come to mean another. It is nil
	// where the kernel does not give it (before 6.5), when the process is
	// already gone, and for a dialled connection. It belongs to the Conn.
	PIDFD *os.File
}

// NewConn makes a Conn of a connected stream socket, which it owns from then
// on, and reads the credentials of the peer.
func NewConn(socket *net.UnixConn) *Conn {
	c := &Conn{socket: socket}
	c.peer, c.peerErr = acceptedPeer(socket)
	return c
}

// Peer returns who is at the other end. It was read when the connection was
// made; the error is that of the reading.
func (c *Conn) Peer() (Peer, error) { return c.peer, c.peerErr }

// SetReadDeadline ends a ReadMessage, now or later, with an error that wraps
// os.ErrDeadlineExceeded. The zero time means never.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	c.reader = t
	return c.applyDeadline()
}

// SetWriteDeadline ends a WriteMessage, now or later, with an error that wraps
// os.ErrDeadlineExceeded. The zero time means never.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.socket.SetWriteDeadline(t)
}

// setPartial starts or, with the zero time, stops the clock of a message begun.
func (c *Conn) setPartial(t time.Time) error {
	c.deadlines.Lock()
	defer c.deadlines.Unlock()
	c.partial = t
	return c.applyDeadline()
}

func (c *Conn) applyDeadline() error {
	t := c.reader
	if t.IsZero() || !c.partial.IsZero() && c.partial.Before(t) {
		t = c.partial
	}
	return c.socket.SetReadDeadline(t)
}

// Close ends the connection and any call on it, and closes the descriptors that
// were received and not yet handed out. A second Close returns an error that
// wraps net.ErrClosed.
func (c *Conn) Close() error {
	err := c.socket.Close()
	c.reading.Lock() // free soon: a reader was just woken
	defer c.reading.Unlock()
	c.inbox.drop()
	if err == nil && c.peer.PIDFD != nil {
		return c.peer.PIDFD.Close()
	}
	return err
}

// CloseFiles closes what ReadMessage returned and the caller has no use for.
func CloseFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nothing was written through it
	}
}
