package gateway

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// transport moves bytes between a socket that does not block and memory: plain,
// or sealed by TLS.
type transport interface {
	// receive fills direct, then buffer, of which one may be empty, with what is
	// there. more says that there may be more already. With hung only the end
	// itself tells that nothing is left. An error may come with bytes: errEnded,
	// errFault, or errBroken and anything that TLS finds wrong.
	receive(direct, buffer []byte, hung bool) (n int, more bool, err error)
	// send takes n bytes of bufs. full says that the kernel took less than it was
	// offered, and will say when there is room.
	send(bufs [][]byte) (n int, full bool, err error)
	// pending says whether send has something of its own to do, without bufs.
	pending() bool
	// finish says that nothing more will be sent.
	finish()
}

// plain is TCP as it is. Nothing is copied on the way.
type plain struct {
	fd   int
	bufs *[2][]byte // of the loop: what a read fills
}

func (p plain) receive(direct, buffer []byte, hung bool) (int, bool, error) {
	p.bufs[0], p.bufs[1] = direct, buffer
	bufs := p.bufs[:]
	if len(direct) == 0 {
		bufs = bufs[1:]
	}
	n, err := retry(func() (int, error) { return unix.Readv(p.fd, bufs) })
	*p.bufs = [2][]byte{} // the memory is the session's
	switch {
	case errors.Is(err, unix.EAGAIN):
		return 0, false, nil
	case err != nil:
		return 0, false, broken("receive", err)
	case n == 0:
		return 0, false, errEnded
	}
	// A short read has emptied the queue; or it met a fault in direct, which the
	// next read will show.
	short := n >= len(direct) && n < len(direct)+len(buffer) && !hung
	return n, !short, nil
}

func (p plain) send(bufs [][]byte) (int, bool, error) {
	n, err := retry(func() (int, error) { return unix.Writev(p.fd, bufs[:min(len(bufs), iovecsMax)]) })
	switch {
	case errors.Is(err, unix.EAGAIN):
		return 0, true, nil
	case err != nil:
		return 0, false, broken("send", err)
	}
	return n, false, nil
}

func (p plain) pending() bool { return false }
func (p plain) finish()       {}

// retry calls fn again as long as a signal interrupts it.
func retry(fn func() (int, error)) (int, error) {
	for {
		n, err := fn()
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

// broken says what a failed system call on a socket means.
func broken(what string, err error) error {
	switch {
	case errors.Is(err, unix.EFAULT):
		return fmt.Errorf("%s: %w", what, errFault)
	case errors.Is(err, io.EOF):
		return errEnded
	}
	return fmt.Errorf("%w: %s: %w", errBroken, what, err)
}
