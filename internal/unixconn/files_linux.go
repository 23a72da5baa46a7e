package unixconn

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// fdBytes is the size of a descriptor in a control message.
const fdBytes = 4

// controlBytes holds the largest control message that the kernel sends:
// FilesMax descriptors and the header, both aligned to 8.
const controlBytes = 16 + (FilesMax*fdBytes+7)/8*8

// receivedFiles returns the descriptors of a control message. The net package
// asks for them with MSG_CMSG_CLOEXEC, so no child ever inherits one.
func receivedFiles(control []byte, flags int) ([]*os.File, error) {
	var files []*os.File
	messages, err := unix.ParseSocketControlMessage(control)
	for i := range messages {
		if messages[i].Header.Level != unix.SOL_SOCKET || messages[i].Header.Type != unix.SCM_RIGHTS {
			continue
		}
		var fds []int
		fds, err = unix.ParseUnixRights(&messages[i])
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received descriptor"))
		}
	}
	if flags&unix.MSG_CTRUNC != 0 {
		err = fmt.Errorf("%w: %d came; is the limit of open files of this process reached?", ErrFilesTruncated, len(files))
	}
	if err != nil {
		CloseFiles(files)
		return nil, err
	}
	return files, nil
}

// sendFiles sends files with the first n bytes of msg, as many as the kernel
// takes at once.
func (c *Conn) sendFiles(msg []byte, files []*os.File) (n int, err error) {
	fds := make([]int, len(files))
	for i, f := range files {
		if fds[i], err = descriptor(f); err != nil {
			return 0, fmt.Errorf("descriptor %d of %d: %w", i+1, len(files), err)
		}
	}
	n, _, err = c.socket.WriteMsgUnix(msg, unix.UnixRights(fds...), nil)
	runtime.KeepAlive(files)
	return n, err
}

// descriptor returns the number of f without the side effects of f.Fd, which
// makes a file blocking.
func descriptor(f *os.File) (fd int, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Control(func(n uintptr) { fd = int(n) })
	return fd, err
}
