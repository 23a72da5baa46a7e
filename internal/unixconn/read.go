package unixconn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// ReadOptions says what a reader puts up with.
type ReadOptions struct {
	// BytesMax is the length of the longest message taken, its NUL not counted.
	BytesMax int
	// PartialTimeout is how long a message may take from the first read that
	// finds it unfinished; 0 is for ever. An idle connection is never timed.
	PartialTimeout time.Duration
	// WantFiles asks for descriptors. Without it the kernel discards what the
	// peer sends; they never enter this process.
	WantFiles bool
}

// ReadMessage returns the next message without its NUL and the descriptors that
// came with it; both belong to the caller, and bytes of later messages are kept
// for later calls. Memory is bounded by BytesMax, plus one copy of a message.
//
// Errors: io.EOF when the peer closed between two messages, io.ErrUnexpectedEOF
// within one; ErrMessageTooLarge, without reading on; ErrPartialTimeout;
// ErrTooManyFiles; ErrFilesTruncated; os.ErrDeadlineExceeded after
// SetReadDeadline, and then reading may go on where it was; net.ErrClosed after
// Close; else that of the system.
func (c *Conn) ReadMessage(o ReadOptions) ([]byte, []*os.File, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	timed := false
	for {
		msg, files, ok, err := c.inbox.take(o.BytesMax)
		if ok && timed {
			err = c.setPartial(time.Time{})
		}
		if err != nil {
			CloseFiles(files)
			return nil, nil, err
		}
		if ok {
			return msg, files, nil
		}
		if c.inbox.unread() > 0 && o.PartialTimeout > 0 && !timed {
			timed = true
			if err := c.setPartial(time.Now().Add(o.PartialTimeout)); err != nil {
				return nil, nil, err
			}
		}
		if err := c.receive(o); err != nil {
			over := timed && c.stopPartial()
			return nil, nil, c.readError(err, o, over)
		}
	}
}

// receive does one read.
func (c *Conn) receive(o ReadOptions) error {
	var control []byte
	if o.WantFiles {
		control = make([]byte, controlBytes)
	}
	n, controlled, flags, _, err := c.socket.ReadMsgUnix(c.inbox.room(o.BytesMax), control)
	if err != nil {
		return err
	}
	var files []*os.File
	if o.WantFiles {
		if files, err = receivedFiles(control[:controlled], flags); err != nil {
			return err
		}
	}
	c.inbox.received(n, files)
	return nil
}

func (c *Conn) readError(err error, o ReadOptions, over bool) error {
	unread := c.inbox.unread()
	switch {
	case errors.Is(err, io.EOF) && unread == 0:
		return io.EOF
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: the peer closed after %d bytes of a message", io.ErrUnexpectedEOF, unread)
	case errors.Is(err, os.ErrDeadlineExceeded) && over:
		return fmt.Errorf("%w: %d bytes in %v, and no NUL", ErrPartialTimeout, unread, o.PartialTimeout)
	}
	return err
}

// stopPartial stops the clock of the message begun and tells whether it had run
// out.
func (c *Conn) stopPartial() (over bool) {
	c.deadlines.Lock()
	over = !time.Now().Before(c.partial)
	c.deadlines.Unlock()
	_ = c.setPartial(time.Time{}) // fails on a closed connection only, which needs no clock
	return over
}
