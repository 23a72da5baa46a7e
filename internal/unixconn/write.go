package unixconn

import (
	"bytes"
	"fmt"
	"os"
)

// WriteMessage writes msg, which ends with its only NUL, and sends files with
// its first byte. The files stay the caller's, who must not close them before
// the call returns. It blocks until the kernel has taken every byte, or the
// deadline of SetWriteDeadline.
//
// Errors: ErrUnterminated and ErrTooManyFiles, before a byte is sent;
// os.ErrDeadlineExceeded; net.ErrClosed; else that of the system. After these
// the connection should be closed, for part of msg may have been sent.
func (c *Conn) WriteMessage(msg []byte, files []*os.File) error {
	if bytes.IndexByte(msg, 0) != len(msg)-1 || len(msg) == 0 {
		return fmt.Errorf("%w: %d bytes", ErrUnterminated, len(msg))
	}
	if len(files) > FilesMax {
		return fmt.Errorf("%w: %d, at most %d", ErrTooManyFiles, len(files), FilesMax)
	}
	if len(files) > 0 {
		n, err := c.sendFiles(msg, files)
		if err != nil {
			return err
		}
		msg = msg[n:]
	}
	if len(msg) == 0 {
		return nil
	}
	_, err := c.socket.Write(msg)
	return err
}
