package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"brokerd/internal/unixconn"
)

// systemSocket is where the service of a host listens.
const systemSocket = "/run/brokerd/control.sock"

// DefaultSocket is where a daemon without a configuration file listens:
// /run/brokerd/control.sock for root; for others
// $XDG_RUNTIME_DIR/brokerd/control.sock or, where that variable is unset,
// /tmp/brokerd-UID/control.sock.
func DefaultSocket() string {
	return defaultSocket(os.Getuid(), os.Getenv("XDG_RUNTIME_DIR"))
}

func defaultSocket(uid int, xdgRuntimeDir string) string {
	switch {
	case uid == 0:
		return systemSocket
	case filepath.IsAbs(xdgRuntimeDir):
		return filepath.Join(xdgRuntimeDir, "brokerd", "control.sock")
	default:
		return fmt.Sprintf("/tmp/brokerd-%d/control.sock", uid)
	}
}

// server is the daemon as seen from here: where it listens and as whom.
type server struct {
	socket string
	// own refuses a daemon of somebody else. It holds for the default socket
	// of an ordinary user, whose folder others could have made first, in /tmp.
	own bool
}

func serverAt(socket string) server {
	if socket != "" {
		return server{socket: socket}
	}
	return server{socket: DefaultSocket(), own: os.Getuid() != 0}
}

// dialFor dials until it succeeds, but no longer than wait and ctx allow. The
// error tells what the last try met that ctx did not cut short: the dialer sees
// a deadline pass before ctx says so.
func (s server) dialFor(ctx context.Context, wait time.Duration) (*unixconn.Conn, error) {
	begin := time.Now()
	var missing error
	for delay := redialDelayMin; ; delay = min(2*delay, redialDelayMax) {
		conn, err := s.dial(ctx)
		if err == nil {
			return conn, nil
		}
		cut := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
		if missing == nil || !cut {
			missing = err
		}
		left := wait - time.Since(begin)
		switch {
		case ctx.Err() != nil || left > 0 && !sleep(ctx, min(delay, left)):
			return nil, overdue(ctx, begin, missing)
		case wait <= 0:
			return nil, missing
		case left <= 0:
			return nil, &waitedError{wait: wait, is: []error{missing}}
		}
	}
}

// dial connects once. The error wraps ErrUnreachable and says what to try.
func (s server) dial(ctx context.Context) (*unixconn.Conn, error) {
	conn, err := unixconn.Dial(ctx, s.socket)
	if err != nil {
		return nil, fmt.Errorf("%w: %w%s", ErrUnreachable, err, s.advice(err))
	}
	if s.own {
		peer, peerErr := conn.Peer()
		if err = peerErr; err == nil {
			err = checkOwner(int(peer.UID), os.Getuid())
		}
	}
	if err != nil {
		return nil, errors.Join(unreachable(s.socket, err), conn.Close())
	}
	return conn, nil
}

// checkOwner refuses a daemon that runs as somebody else than uid or root.
func checkOwner(daemon, uid int) error {
	if daemon == 0 || daemon == uid {
		return nil
	}
	return fmt.Errorf("who listens there is uid %d, neither you (uid %d) nor root: if that is meant, name the socket", daemon, uid)
}

// advice says what to try when dialing failed with err.
func (s server) advice(err error) string {
	other := ""
	if s.socket != systemSocket {
		other = ", or name another socket (the service of a host listens on " + systemSocket + ")"
	}
	switch {
	case errors.Is(err, unixconn.ErrAbsent):
		return ": start brokerd" + other
	case errors.Is(err, unixconn.ErrRefused):
		return " any more: start brokerd" + other
	case errors.Is(err, unixconn.ErrPermission):
		return ": it is for its owner and for control.group of the configuration" + other
	default:
		return ""
	}
}
