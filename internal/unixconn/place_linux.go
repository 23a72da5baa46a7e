package unixconn

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// placeTriesMax is how often Listen looks again when what lies at its path
// changes under its hands.
const placeTriesMax = 10

// place renames the socket to its path. Two daemons that start at once may both
// find the same dead socket there, so nothing is overwritten unseen: where
// nothing lay the rename must find nothing, and a dead socket is exchanged for
// ours and then looked at. If it is not the one that was found dead, the other
// daemon was faster, and gets its socket back.
func (l *Listener) place(dirfd int, temporary string) error {
	name := filepath.Base(l.path)
	for range placeTriesMax {
		dead, err := findDead(l.path)
		if err != nil {
			return err
		}
		if dead == nil {
			err := unix.Renameat2(dirfd, temporary, dirfd, name, unix.RENAME_NOREPLACE)
			if errors.Is(err, unix.EEXIST) {
				continue
			}
			return os.NewSyscallError("rename it into place", err)
		}
		err = unix.Renameat2(dirfd, temporary, dirfd, name, unix.RENAME_EXCHANGE)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fmt.Errorf("rename it into place: %w", err)
		}
		if sameFile(dirfd, temporary, dead) {
			return os.NewSyscallError("remove the old socket", unix.Unlinkat(dirfd, temporary, 0))
		}
		if err := unix.Renameat2(dirfd, temporary, dirfd, name, unix.RENAME_EXCHANGE); err != nil {
			return fmt.Errorf("give the path back to another process: %w", err)
		}
	}
	return fmt.Errorf("%w: other processes keep changing it", ErrInUse)
}

// findDead returns the socket at path that nobody answers on, nil when nothing
// lies there, and an error when the path cannot be taken.
func findDead(path string) (*unix.Stat_t, error) {
	var found unix.Stat_t
	err := unix.Lstat(path, &found)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look at what lies there: %w", err)
	}
	if found.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, fmt.Errorf("%w: what lies there has mode %#o; move it away or choose another path", ErrNotSocket, found.Mode)
	}
	socket, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return &found, nil
	case errors.Is(err, unix.ENOENT):
		return nil, nil
	case errors.Is(err, unix.EAGAIN):
		return nil, fmt.Errorf("%w: somebody listens there, with a full queue; stop it or choose another path", ErrInUse)
	case err != nil:
		return nil, fmt.Errorf("see whether somebody listens there: %w", err)
	}
	defer func() { _ = socket.Close() }() // it was only asked who answers
	peer, err := dialledPeer(socket)
	if err != nil {
		return nil, fmt.Errorf("%w: somebody listens there; stop it or choose another path", ErrInUse)
	}
	return nil, fmt.Errorf("%w: %s", ErrInUse, whoListens(peer.PID))
}

// serviceManagerPID is who listens for a socket unit, whether its service runs
// or not.
const serviceManagerPID = 1

func whoListens(pid int) string {
	if pid == serviceManagerPID {
		return "the service manager listens there, for a socket unit; start the daemon by its unit, stop the socket unit, or choose another path"
	}
	return fmt.Sprintf("process %d listens there; stop it or choose another path", pid)
}

func sameFile(dirfd int, name string, want *unix.Stat_t) bool {
	var now unix.Stat_t
	err := unix.Fstatat(dirfd, name, &now, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && now.Dev == want.Dev && now.Ino == want.Ino
}
