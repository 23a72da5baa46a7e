package unixconn

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// backlogMax is how many connections wait to be accepted; the kernel lowers
// it to net.core.somaxconn.
const backlogMax = 4096

// Listener accepts connections at a path.
type Listener struct {
	socket    *net.UnixListener
	path      string
	inode     unix.Stat_t // what lies at path as long as the socket is ours
	inherited bool        // somebody else made the path, and keeps it
}

// Listen makes a socket at path with the given permission bits and group; gid -1
// leaves the group of the process. A socket that nobody answers on is replaced.
// Errors wrap ErrPathTooLong, ErrInUse, ErrNotSocket, or that of the system; each
// names the path and the way out.
//
// There is no instant at which the socket can be opened with another mode: it is
// bound to a temporary name beside path, where a connect is refused because it
// does not listen yet; then it gets its group, its mode, then it listens, and
// only then it is renamed to path. So whoever finds path finds it complete.
func Listen(path string, mode os.FileMode, gid int) (*Listener, error) {
	if len(path) > socketPathBytesMax {
		return nil, pathTooLong(path)
	}
	l := &Listener{path: path}
	if err := l.listen(mode, gid); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

// listen reaches the temporary name through a descriptor of the folder, so it
// fits into an address whenever path does.
func (l *Listener) listen(mode os.FileMode, gid int) error {
	dirfd, err := unix.Open(filepath.Dir(l.path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open its folder: %w", err)
	}
	folder := os.NewFile(uintptr(dirfd), filepath.Dir(l.path))
	defer func() { _ = folder.Close() }() // nothing was written through it
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), l.path)
	defer func() { _ = file.Close() }() // the listener has a duplicate

	temporary := ".brokerd-" + rand.Text()[:10]
	address := &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dirfd, temporary)}
	if err := unix.Bind(fd, address); err != nil {
		return fmt.Errorf("bind in its folder: %w", err)
	}
	err = l.prepare(fd, dirfd, temporary, mode, gid)
	if err == nil {
		err = l.place(dirfd, temporary)
	}
	if err != nil {
		_ = unix.Unlinkat(dirfd, temporary, 0) // the error above is the one to tell
		return err
	}
	listener, err := net.FileListener(file)
	if err != nil {
		return errors.Join(err, os.Remove(l.path))
	}
	l.socket = listener.(*net.UnixListener)
	return nil
}

func (l *Listener) prepare(fd, dirfd int, temporary string, mode os.FileMode, gid int) error {
	if gid >= 0 {
		if err := unix.Fchownat(dirfd, temporary, -1, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("give it to group %d, of which the user of this process must be a member: %w", gid, err)
		}
	}
	if err := unix.Fchmodat(dirfd, temporary, uint32(mode.Perm()), 0); err != nil {
		return fmt.Errorf("set its mode to %#o: %w", mode.Perm(), err)
	}
	if err := unix.Fstatat(dirfd, temporary, &l.inode, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("look at it: %w", err)
	}
	return os.NewSyscallError("listen", unix.Listen(fd, backlogMax))
}

// Path returns the path that was given to Listen, or that an inherited socket
// has: as its maker gave it, links and all.
func (l *Listener) Path() string { return l.path }

// Accept returns the next connection. Its error wraps net.ErrClosed after Close;
// any other, such as too many open files, passes, and the caller should wait a
// little and call again.
func (l *Listener) Accept() (*Conn, error) {
	socket, err := l.socket.AcceptUnix()
	if err != nil {
		return nil, err
	}
	return NewConn(socket), nil
}

// Waiting tells whether a connection waits to be accepted, or that cannot be told.
// It takes no descriptor.
func (l *Listener) Waiting() bool {
	raw, err := l.socket.SyscallConn()
	if err != nil {
		return true // closed: Accept says so
	}
	waiting := true
	err = raw.Control(func(fd uintptr) {
		n, err := 0, error(unix.EINTR)
		for errors.Is(err, unix.EINTR) { // of the scheduler's signals
			n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		}
		waiting = n > 0 || err != nil
	})
	return waiting || err != nil
}

// Close stops listening and removes the path, unless it was inherited or
// something else lies there by now.
func (l *Listener) Close() error {
	if err := l.socket.Close(); err != nil {
		return err
	}
	if l.inherited || !sameFile(unix.AT_FDCWD, l.path, &l.inode) {
		return nil
	}
	return os.Remove(l.path)
}
