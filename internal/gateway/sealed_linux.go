package gateway

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// sealed is the side of a TLS connection where encrypted bytes come and go, as
// crypto/tls wants it: a net.Conn. It has two lives. During the handshake a
// goroutine of its own uses it, and it blocks, until a deadline. Afterwards the
// loop does, and nothing blocks: Read says that there is nothing yet by an error
// that crypto/tls does not keep, and Write takes everything into out, because
// there an error would be kept.
//
// A Read never goes beyond the end of a TLS record: crypto/tls keeps what it gets
// in a buffer that never shrinks, and one record is the least it must hold.
type sealed struct {
	fd  int
	in  []byte // encrypted, not read yet; in the loop's buffer, between turns a copy
	out []byte // encrypted, not taken by the kernel yet

	buffer []byte // the loop's: room for one fetch in each receive of the stream
	spent  bool   // by the present one
	want   int    // what the present one can use: the rest would have to be kept
	more   bool   // the kernel may have more
	hung   bool   // only the end of the stream tells that it has not

	header [tlsHeaderBytes]byte // of the record that is being read
	have   int                  // bytes of header
	body   int                  // bytes of the record that are still to come

	blocking bool
	deadline time.Time
	crypto   chan struct{} // held but in waits
	left     int           // what may still come in during the handshake
}

// wouldBlock is what Read returns when nothing is there yet. It must reach
// crypto/tls as it is: a bare errno or a net.OpError counts as temporary for too
// many reasons, ETIMEDOUT among them, which is the end.
type wouldBlock struct{}

func (wouldBlock) Error() string   { return "nothing there yet" }
func (wouldBlock) Timeout() bool   { return true }
func (wouldBlock) Temporary() bool { return true }

var _ net.Error = wouldBlock{}

func (c *sealed) Read(p []byte) (int, error) {
	// The buffer behind p grows when less than this is left after a read.
	p = p[:max(1, len(p)-bytes.MinRead)]
	if c.blocking {
		return c.readBlocking(p)
	}
	if len(c.in) == 0 {
		if err := c.fetch(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.in[:c.walk(c.in[:min(len(p), len(c.in))])])
	c.in = c.in[n:]
	return n, nil
}

// fetch takes from the kernel what it has.
func (c *sealed) fetch() error {
	if !c.more || c.spent {
		return wouldBlock{}
	}
	c.spent = true
	p := c.buffer[:min(len(c.buffer), c.want)]
	n, err := retry(func() (int, error) { return unix.Read(c.fd, p) })
	switch {
	case errors.Is(err, unix.EAGAIN):
		c.more = false
		return wouldBlock{}
	case err != nil:
		return broken("receive", err)
	case n == 0:
		return io.EOF
	}
	c.in = p[:n]
	c.more = n == len(p) || c.hung
	return nil
}

// walk says how many of the bytes of p, up to all, belong to the present record,
// and takes them as read.
func (c *sealed) walk(p []byte) int {
	for i, b := range p {
		if c.body > 0 {
			n := min(c.body, len(p)-i)
			c.body -= n
			return i + n
		}
		c.header[c.have] = b
		if c.have++; c.have == tlsHeaderBytes {
			c.have, c.body = 0, int(binary.BigEndian.Uint16(c.header[3:]))
		}
	}
	return len(p)
}

// keep makes a copy of what is left of the loop's buffer.
func (c *sealed) keep() { c.in = append([]byte(nil), c.in...) }

func (c *sealed) readBlocking(p []byte) (int, error) {
	if c.left == 0 {
		return 0, fmt.Errorf("%w: %d bytes; is its chain of certificates so long?", errChatty, unauthenticatedBytesMax)
	}
	want := tlsHeaderBytes - c.have
	if c.body > 0 {
		want = c.body
	}
	p = p[:min(len(p), c.left, want)]
	for {
		n, err := retry(func() (int, error) { return unix.Read(c.fd, p) })
		switch {
		case errors.Is(err, unix.EAGAIN):
			if err := c.wait(unix.POLLIN); err != nil {
				return 0, err
			}
		case err != nil:
			return 0, broken("receive", err)
		case n == 0:
			return 0, io.EOF
		default:
			c.left -= n
			return c.walk(p[:n]), nil
		}
	}
}

func (c *sealed) Write(p []byte) (int, error) {
	if !c.blocking {
		c.out = append(c.out, p...)
		return len(p), nil
	}
	for done := 0; done < len(p); {
		n, err := retry(func() (int, error) { return unix.Write(c.fd, p[done:]) })
		done += n
		switch {
		case errors.Is(err, unix.EAGAIN):
			if err := c.wait(unix.POLLOUT); err != nil {
				return done, err
			}
		case err != nil:
			return done, broken("send", err)
		}
	}
	return len(p), nil
}

// wait blocks the thread until the descriptor is ready or the time is over.
func (c *sealed) wait(events int16) error {
	<-c.crypto
	defer func() { c.crypto <- struct{}{} }()
	for {
		left := time.Until(c.deadline).Milliseconds()
		if left <= 0 {
			return fmt.Errorf("%w: it stopped in the middle of the handshake", errSlow)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: events}}, int(left))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
		if n > 0 {
			return nil
		}
	}
}

// drain gives the kernel what it takes of out.
func (c *sealed) drain() (full bool, err error) {
	for len(c.out) > 0 {
		n, err := retry(func() (int, error) { return unix.Write(c.fd, c.out) })
		if errors.Is(err, unix.EAGAIN) {
			return true, nil
		}
		if err != nil {
			return false, broken("send", err)
		}
		c.out = c.out[n:]
	}
	c.out = nil
	return false, nil
}

// The rest of net.Conn: the descriptor is the socket's to close, and deadlines
// are the loop's.

func (c *sealed) Close() error                     { return nil }
func (c *sealed) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *sealed) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *sealed) SetDeadline(time.Time) error      { return nil }
func (c *sealed) SetReadDeadline(time.Time) error  { return nil }
func (c *sealed) SetWriteDeadline(time.Time) error { return nil }
