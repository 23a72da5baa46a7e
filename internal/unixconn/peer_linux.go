package unixconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"

	"golang.org/x/sys/unix"
)

// groupsBytesStart is how much is first offered for the groups of a peer, 1022
// of them; groupsBytesMax is what the kernel lets a process have, 65536, and
// the length word.
const (
	groupsBytesStart = 4 << 10
	groupsBytesMax   = 8 + 65536*4
)

// acceptedPeer reads who connected. The kernel noted it at the connect, so
// nothing that the peer has done since can change the answer.
func acceptedPeer(socket *net.UnixConn) (Peer, error) {
	peer, err := dialledPeer(socket)
	if err != nil {
		return Peer{}, err
	}
	err = control(socket, func(fd int) error {
		if peer.Groups, err = peerGroups(fd); err != nil {
			return fmt.Errorf("groups of the peer: %w", err)
		}
		if peer.PIDFD, err = peerPIDFD(fd); err != nil {
			return fmt.Errorf("pidfd of the peer: %w", err)
		}
		return nil
	})
	if err != nil {
		return Peer{}, err
	}
	return peer, nil
}

// dialledPeer reads who listens. A client needs no more of the daemon.
func dialledPeer(socket *net.UnixConn) (peer Peer, err error) {
	err = control(socket, func(fd int) error {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return fmt.Errorf("credentials of the peer: %w", err)
		}
		peer = Peer{PID: int(cred.Pid), UID: cred.Uid, GID: cred.Gid}
		return nil
	})
	return peer, err
}

// peerPIDFD returns nil where there is none to be had: on a kernel before 6.5,
// and when the peer is gone and reaped. The kernel makes it close-on-exec.
func peerPIDFD(fd int) (*os.File, error) {
	pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	switch {
	case errors.Is(err, unix.ENOPROTOOPT), errors.Is(err, unix.ESRCH),
		errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENODATA):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return os.NewFile(uintptr(pidfd), "pidfd of the peer"), nil
}

func peerGroups(fd int) ([]uint32, error) {
	size := groupsBytesStart
	for {
		groups, needed, err := readGroups(fd, size)
		if errors.Is(err, unix.ERANGE) && needed > size && needed <= groupsBytesMax {
			size = needed
			continue
		}
		return groups, err
	}
}

// readGroups asks for SO_PEERGROUPS with a buffer of size bytes, and returns how
// many it would have taken. x/sys has no call for an option of variable length,
// so this is the bare one. Its buffer is mapped, outside the Go heap: there an
// address may be held as a number, and the package does without unsafe. The
// first 8 bytes hold the length (of which the kernel uses 4), the groups follow.
func readGroups(fd, size int) (groups []uint32, needed int, err error) {
	buf, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, unix.Munmap(buf)) }()
	binary.NativeEndian.PutUint32(buf, uint32(size-8))
	address := reflect.ValueOf(buf).Pointer()
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS, address+8, address, 0)
	length := int(binary.NativeEndian.Uint32(buf))
	if errno != 0 {
		return nil, length + 8, errno
	}
	for at := 8; at < 8+length; at += 4 {
		groups = append(groups, binary.NativeEndian.Uint32(buf[at:]))
	}
	return groups, length + 8, nil
}

func control(socket *net.UnixConn, call func(fd int) error) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = call(int(fd)) }); err != nil {
		return err
	}
	return inner
}
