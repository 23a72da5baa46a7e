package main

import (
	"bytes"
	"io"
)

// emptyReadsMax is how often in a row the input may return nothing, not even
// an error, before reading it is given up.
const emptyReadsMax = 100

// lineReader reads newline-ended records. The newline is not part of a record,
// a carriage return is; an empty line is a record of no bytes; a last line
// without a newline counts, unless an error other than io.EOF cut it short.
// It holds at most max+1 bytes of a line, or inputBufferBytes if that is more.
type lineReader struct {
	r       io.Reader
	max     int
	buf     []byte
	start   int // of the line under way in buf
	end     int // of what was read
	scanned int // no newline in buf[start:scanned]
	number  uint64
	err     error // what ended the input
}

func newLineReader(r io.Reader, max int) *lineReader {
	return &lineReader{r: r, max: max, buf: make([]byte, inputBufferBytes)}
}

func (l *lineReader) Next() ([]byte, error) {
	for {
		if i := bytes.IndexByte(l.buf[l.scanned:l.end], '\n'); i >= 0 {
			line := l.buf[l.start : l.scanned+i]
			l.start = l.scanned + i + 1
			l.scanned = l.start
			return l.checked(line)
		}
		l.scanned = l.end
		if l.err == io.EOF && l.start < l.end {
			line := l.buf[l.start:l.end]
			l.start = l.end
			return l.checked(line)
		}
		if l.err != nil {
			return nil, l.err
		}
		if l.end-l.start > l.max {
			return nil, l.tooLong()
		}
		l.fill()
	}
}

func (l *lineReader) checked(line []byte) ([]byte, error) {
	l.number++
	if len(line) > l.max {
		return nil, l.fail(uint64(len(line)), false)
	}
	return line, nil
}

// fail ends the reading with a line that is too long.
func (l *lineReader) fail(size uint64, atLeast bool) error {
	l.err = &tooLargeError{Unit: "line", Number: l.number, Size: size, AtLeast: atLeast, Max: l.max}
	l.start, l.end, l.scanned = 0, 0, 0
	return l.err
}

// fill reads once into buf, after making room there: by moving the line under
// way to the front, or by growing to what the longest line needs.
func (l *lineReader) fill() {
	if l.end == len(l.buf) {
		if l.start == 0 {
			// The line under way has at most max bytes, so max+1 is room enough.
			l.buf = append(l.buf, make([]byte, min(len(l.buf), l.max+1-len(l.buf)))...)
		} else {
			copy(l.buf, l.buf[l.start:l.end])
			l.end -= l.start
			l.scanned -= l.start
			l.start = 0
		}
	}
	for range emptyReadsMax {
		n, err := l.r.Read(l.buf[l.end:])
		l.end += n
		l.err = err
		if n > 0 || err != nil {
			return
		}
	}
	l.err = io.ErrNoProgress
}

// tooLong counts how long the line under way is, without keeping it.
func (l *lineReader) tooLong() error {
	size := uint64(l.end - l.start)
	found := false
	for !found && l.err == nil && size < lineCountBytesMax {
		l.start, l.end, l.scanned = 0, 0, 0
		l.fill()
		n := bytes.IndexByte(l.buf[:l.end], '\n')
		if found = n >= 0; !found {
			n = l.end
		}
		size += uint64(n)
	}
	l.number++
	return l.fail(size, !found && l.err != io.EOF)
}
