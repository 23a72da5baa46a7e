package unixconn

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Inherit makes a Listener of a socket on which a service manager listens
// already. It closes f in any case; the manager keeps the socket, its mode, its
// group and its path, so connections wait while no daemon runs, and Close leaves
// the path alone. What a client learns of its peer is the process that made the
// socket. Errors wrap ErrNotListening, or that of the system; each names f.
func Inherit(f *os.File) (*Listener, error) {
	path, err := listeningPath(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("inherit descriptor %q: %w", f.Name(), err), f.Close())
	}
	listener, err := net.FileListener(f) // a duplicate, close-on-exec
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("inherit the socket %s: %w", path, err)
	}
	return &Listener{socket: listener.(*net.UnixListener), path: path, inherited: true}, nil
}

// listeningPath returns the path of the socket f, if it is such a socket as
// Listen makes.
func listeningPath(f *os.File) (path string, err error) {
	fd, err := descriptor(f)
	if err != nil {
		return "", err
	}
	for _, want := range []struct {
		option, value int
		otherwise     string
	}{
		{unix.SO_DOMAIN, unix.AF_UNIX, "it is a socket, but no Unix socket"},
		{unix.SO_TYPE, unix.SOCK_STREAM, "it is not a stream socket (ListenStream= of the socket unit makes one)"},
		{unix.SO_ACCEPTCONN, 1, "nobody listens on it (Accept=no is what the socket unit needs)"},
	} {
		value, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, want.option)
		switch {
		case errors.Is(err, unix.ENOTSOCK):
			return "", fmt.Errorf("%w: it is no socket", ErrNotListening)
		case err != nil:
			return "", os.NewSyscallError("getsockopt", err)
		case value != want.value:
			return "", fmt.Errorf("%w: %s", ErrNotListening, want.otherwise)
		}
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	if a, ok := address.(*unix.SockaddrUnix); ok && strings.HasPrefix(a.Name, "/") {
		return a.Name, nil
	}
	return "", fmt.Errorf("%w: it has no absolute path in the file system", ErrNotListening)
}
