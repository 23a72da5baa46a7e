package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrGone is returned for a process that does not run any more, be it a zombie,
// and for an id that has come to mean another process.
var ErrGone = errors.New("process is gone")

// ErrForeignNamespace is returned for a peer without a process id.
var ErrForeignNamespace = errors.New("the peer is in a process id namespace that is not visible from the daemon's; run it in the daemon's namespace or in one below")

// Handle is a hold on one process. It keeps the process's id from being
// mistaken, not the process from dying. Its methods may be called by several
// goroutines at once, but Wait by one at a time; Dup gives another waiter a
// handle of its own. It owns one descriptor, until Close.
type Handle struct {
	id     ID
	pidfd  *os.File // non-blocking, known to Go's poller
	closed atomic.Bool
}

// Open returns a handle on the process pid. The error is ErrGone, wrapped, when
// there is none.
func Open(pid int) (*Handle, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	if err != nil {
		return nil, fmt.Errorf("pidfd_open of process %d: %w", pid, err)
	}
	return identify(pid, fd)
}

// OpenID returns a handle on the process id. The error is ErrGone, wrapped, when
// it is gone or when its process id has been given to another.
func OpenID(id ID) (*Handle, error) {
	h, err := Open(id.PID)
	if err != nil {
		return nil, err
	}
	if h.id != id {
		_ = h.Close() // nothing was done with it
		return nil, fmt.Errorf("process %d started at tick %d, the one meant at %d: %w", id.PID, h.id.Start, id.Start, ErrGone)
	}
	return h, nil
}

// FromPeer returns a handle on the peer of a socket. pid is that of its
// credentials; pidfd is that of SO_PEERPIDFD, which stays the caller's, or nil
// where there is none. Errors are ErrForeignNamespace and ErrGone, wrapped.
func FromPeer(pid int, pidfd *os.File) (*Handle, error) {
	if pid == 0 {
		return nil, ErrForeignNamespace
	}
	if pidfd == nil {
		return Open(pid)
	}
	fd, err := duplicate(pidfd)
	if err != nil {
		return nil, fmt.Errorf("pidfd of process %d: %w", pid, err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("pidfd of process %d: %w", pid, err), unix.Close(fd))
	}
	return identify(pid, fd)
}

// identify makes a handle of fd, a pidfd that it takes over. The start time that
// it reads may be that of a successor in the process id, but only if the process
// is gone by then: so it asks for that last.
func identify(pid, fd int) (*Handle, error) {
	h := &Handle{pidfd: os.NewFile(uintptr(fd), fmt.Sprintf("pidfd of %d", pid))}
	start, err := startTime(pid)
	if h.Exited() {
		err = fmt.Errorf("process %d: %w", pid, ErrGone)
	} else if err != nil {
		err = fmt.Errorf("process %d lives, but its start time cannot be read (is /proc mounted with hidepid?): %w", pid, err)
	}
	if err != nil {
		_ = h.Close() // the error above is the one to tell
		return nil, err
	}
	h.id = ID{pid, start}
	return h, nil
}

// ID returns which process h holds.
func (h *Handle) ID() ID { return h.id }

// Exited tells whether the process is gone. It does not wait. A closed handle
// says yes.
func (h *Handle) Exited() bool {
	raw, err := h.pidfd.SyscallConn()
	if err != nil {
		return true
	}
	gone := true
	if raw.Control(func(fd uintptr) { gone = readable(fd) }) != nil {
		return true
	}
	return gone
}

// Wait returns nil when the process is gone, the error of ctx when that ends
// first, and an error that wraps os.ErrClosed after Close. Waiting costs a parked
// goroutine, no thread: the pidfd is registered with Go's poller.
func (h *Handle) Wait(ctx context.Context) error {
	raw, err := h.pidfd.SyscallConn()
	if err != nil {
		return err
	}
	woken := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { woken <- h.pidfd.SetReadDeadline(time.Unix(0, 1)) })
	err = raw.Read(readable)
	if !stop() { // then the deadline is set, or about to be: undo it for the next Wait
		err = errors.Join(err, <-woken, h.pidfd.SetReadDeadline(time.Time{}))
	}
	switch {
	case err == nil:
		return nil
	case h.closed.Load():
		return fmt.Errorf("wait for process %d: %w", h.id.PID, os.ErrClosed)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fmt.Errorf("wait for process %d: %w", h.id.PID, err)
}

// Dup returns another handle on the same process, to be closed on its own.
func (h *Handle) Dup() (*Handle, error) {
	fd, err := duplicate(h.pidfd)
	if err != nil {
		return nil, fmt.Errorf("pidfd of process %d: %w", h.id.PID, err)
	}
	return &Handle{id: h.id, pidfd: os.NewFile(uintptr(fd), h.pidfd.Name())}, nil
}

// Close lets go of the process and ends a Wait.
func (h *Handle) Close() error {
	h.closed.Store(true)
	return h.pidfd.Close()
}

// readable tells whether a pidfd is ready, which is when its process is gone. A
// poll that fails, which a valid descriptor has no cause for, counts as not.
func readable(fd uintptr) bool {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(poll, 0)
		if !errors.Is(err, unix.EINTR) {
			return n > 0 && err == nil
		}
	}
}

func duplicate(f *os.File) (fd int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var inner error
	err = raw.Control(func(n uintptr) { fd, inner = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, inner)
}
