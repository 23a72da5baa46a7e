package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	protocol "brokerd/internal/link"
	"brokerd/internal/wire"
)

const (
	// readBytesMax is how much is read from a connection at a time.
	readBytesMax = 256 << 10
	// writeBytesMax is how much one write may have to do, within DeadAfter.
	writeBytesMax = 128 << 10
	// closeTimeMax is how long Close waits for the last frame to leave.
	closeTimeMax = 500 * time.Millisecond
)

// line is one TCP connection, from dial to break: a protocol.Conn and its socket.
// Remote.mu is held for all but the socket.
type line struct {
	conn    net.Conn // TLS where it is on
	link    *protocol.Conn
	now     func() int64
	streams map[uint16]*stream
	broken  error

	owed int64 // since when the other side owes an answer, ns; 0: it does not
	last bool  // the link is closed: what is left to write is why
	mute bool  // nothing can be written any more

	buf []byte // what is being written, of the goroutine that does
}

func (l *line) secure(settings *tls.Config) {
	l.conn = tls.Client(l.conn, settings)
}

// greet shakes hands: TLS, hello and welcome. The connection has a deadline.
func (l *line) greet(ctx context.Context) error {
	if t, ok := l.conn.(*tls.Conn); ok {
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
	}
	if _, err := l.conn.Write(l.take()); err != nil { // the hello
		return err
	}
	buf := make([]byte, wire.LinkControlBytesMax)
	for {
		n, err := l.conn.Read(buf)
		if n > 0 {
			if err := l.link.Input(l.now(), buf[:n]); err != nil {
				return linkError(err)
			}
		}
		for e, ok := l.link.Next(); ok; e, ok = l.link.Next() {
			switch e.Kind {
			case protocol.EventWelcome:
				return nil
			case protocol.EventClose:
				return closeError(e.Close)
			}
		}
		if err != nil {
			return err
		}
	}
}

// take moves what is to be sent, writeBytesMax at most, out of the link, whose
// rings may be closed while it is written.
func (l *line) take() []byte {
	l.buf = l.buf[:0]
	for _, b := range l.link.Output() {
		b = b[:min(len(b), writeBytesMax-len(l.buf))]
		l.buf = append(l.buf, b...)
	}
	l.wrong(l.link.Sent(len(l.buf)))
	return l.buf
}

// fail breaks the line. The first reason counts.
func (l *line) fail(err error) {
	if l.broken == nil {
		l.broken = err
	}
}

// stop fails the line because its socket is of no use any more.
func (l *line) stop(err error) {
	l.fail(err)
	l.mute = true
}

// wrong fails the line because of what the state machine says, if it says anything:
// it has put the reason into the output.
func (l *line) wrong(err error) {
	if err != nil {
		l.fail(linkError(err))
		l.last = true
	}
}

// linkError is what the state machine makes of what came.
func linkError(err error) error {
	var wrong *protocol.Error
	if errors.As(err, &wrong) && wrong.Code != wire.CodeChecksum && wrong.Code != wire.CodeSilent {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	return err
}

// closeError is why the other side closes the connection.
func closeError(c wire.LinkCloseFrame) error {
	switch c.Code {
	case wire.CodeIdentity, wire.CodeDenied:
		return wire.AccessDenied("gateway.peers", "%s", c.Message)
	case wire.CodeVersion, wire.CodeProtocol:
		return fmt.Errorf("%w: the gateway says: %s", ErrProtocol, c.Message)
	}
	return fmt.Errorf("the gateway closes the connection: %s: %s", c.Code, c.Message)
}
