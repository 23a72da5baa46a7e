package gateway

import (
	"os"

	"golang.org/x/sys/unix"
)

// patient lets the other side take nothing for as long as it likes: links give up
// on one after a while (setOptions), a feed has its idle_timeout for that.
func (s *socket) patient() error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 0))
}
