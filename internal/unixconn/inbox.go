package unixconn

import (
	"bytes"
	"fmt"
	"os"
)

// inbox holds what was received and not yet handed out.
type inbox struct {
	buf     []byte // buf[start:] is unread
	start   int
	scanned int // how many unread bytes are known to hold no NUL
	arrived []arrival
}

// arrival is the descriptors of one read. last is the index, among the unread
// bytes, of the last byte of that read: see the package comment.
type arrival struct {
	last  int
	files []*os.File
}

func (b *inbox) unread() int { return len(b.buf) - b.start }

// room returns space for the next read: at least one byte, but never so much
// that more than bytesMax and one NUL could be unread. take has seen to it that
// at most bytesMax are.
func (b *inbox) room(bytesMax int) []byte {
	if len(b.buf) == cap(b.buf) {
		size := min(max(2*b.unread(), idleBytesMax), max(bytesMax+1, idleBytesMax))
		grown := make([]byte, b.unread(), size)
		copy(grown, b.buf[b.start:])
		b.buf, b.start = grown, 0
	}
	free := b.buf[len(b.buf):cap(b.buf)]
	return free[:min(len(free), bytesMax+1-b.unread())]
}

// received takes in n bytes, which were put into room, and the descriptors that
// came with them.
func (b *inbox) received(n int, files []*os.File) {
	b.buf = b.buf[:len(b.buf)+n]
	if len(files) > 0 {
		b.arrived = append(b.arrived, arrival{b.unread() - 1, files})
	}
}

// take returns the first message, its NUL cut off, and its descriptors; ok is
// false while it is unfinished.
func (b *inbox) take(bytesMax int) (msg []byte, files []*os.File, ok bool, err error) {
	unread := b.buf[b.start:]
	end := bytes.IndexByte(unread[b.scanned:], 0)
	length := len(unread)
	if end >= 0 {
		length = b.scanned + end
	}
	if length > bytesMax {
		return nil, nil, false, fmt.Errorf("%w: more than %d bytes", ErrMessageTooLarge, bytesMax)
	}
	count := 0
	for _, a := range b.arrived {
		if a.last <= length {
			count += len(a.files)
		}
	}
	if count > FilesMax {
		return nil, nil, false, fmt.Errorf("%w: %d, at most %d", ErrTooManyFiles, count, FilesMax)
	}
	if end < 0 {
		b.scanned = len(unread)
		return nil, nil, false, nil
	}
	msg = append([]byte{}, unread[:length]...)
	return msg, b.advance(length + 1), true, nil
}

// advance makes n bytes read and returns the descriptors that came with them.
func (b *inbox) advance(n int) []*os.File {
	var files []*os.File
	for len(b.arrived) > 0 && b.arrived[0].last < n {
		files = append(files, b.arrived[0].files...)
		b.arrived = b.arrived[1:]
	}
	for i := range b.arrived {
		b.arrived[i].last -= n
	}
	b.start += n
	b.scanned = 0
	if b.unread() == 0 {
		b.buf, b.start = b.buf[:0], 0
		if cap(b.buf) > idleBytesMax {
			b.buf = nil
		}
	}
	return files
}

// drop forgets everything and closes the descriptors.
func (b *inbox) drop() {
	for _, a := range b.arrived {
		CloseFiles(a.files)
	}
	*b = inbox{}
}
