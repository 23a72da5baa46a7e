package unixconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// socketPathBytesMax is the longest path that an address of a Unix socket holds
// with the NUL that ends it.
const socketPathBytesMax = 107

// A connect fails at once when the queue of a listener is full. Dial then tries
// again, as long as its context allows, or this often where that has no end.
const (
	dialRetry    = 5 * time.Millisecond
	dialTriesMax = 1000
)

// Dial connects to the socket at path. Errors wrap ErrAbsent, ErrRefused,
// ErrPermission, ErrPathTooLong, the error of ctx, or that of the system; each
// names the path.
func Dial(ctx context.Context, path string) (*Conn, error) {
	if len(path) > socketPathBytesMax {
		return nil, pathTooLong(path)
	}
	socket, err := connect(ctx, path)
	if err != nil {
		return nil, dialError(path, err)
	}
	c := &Conn{socket: socket}
	c.peer, c.peerErr = dialledPeer(socket)
	return c, nil
}

func connect(ctx context.Context, path string) (*net.UnixConn, error) {
	var d net.Dialer
	for try := 1; ; try++ {
		conn, err := d.DialContext(ctx, "unix", path)
		if err == nil {
			return conn.(*net.UnixConn), nil
		}
		_, ends := ctx.Deadline()
		if !errors.Is(err, unix.EAGAIN) || !ends && try == dialTriesMax {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-time.After(dialRetry):
		}
	}
}

func dialError(path string, err error) error {
	var kind error
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		kind = ErrAbsent
	case errors.Is(err, unix.ECONNREFUSED):
		kind = ErrRefused
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		kind = ErrPermission
	default:
		return fmt.Errorf("connect to %s: %w", path, err)
	}
	return fmt.Errorf("connect to %s: %w", path, kind)
}

func pathTooLong(path string) error {
	return fmt.Errorf("%w: %q has %d bytes, at most %d fit into the address of a socket; choose a shorter folder or name",
		ErrPathTooLong, path, len(path), socketPathBytesMax)
}
