package framing

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Splitter cuts one stream into frames.
type Splitter struct {
	kind    Kind
	max     int
	buf     []byte
	start   int    // of the frame under way in buf
	scanned int    // line: no newline before it
	offset  uint64 // of start in the stream
	err     error  // of the stream, for ever
}

// NewSplitter makes a Splitter for frames of at most frameBytesMax bytes, 1 to
// FrameBytesMax: of payload, and for FIX of the whole message.
func NewSplitter(kind Kind, frameBytesMax int) (*Splitter, error) {
	if !kind.Valid() {
		return nil, fmt.Errorf("framing %q: want one of %v", string(kind), Kinds())
	}
	if frameBytesMax < 1 || frameBytesMax > FrameBytesMax {
		return nil, fmt.Errorf("frame limit %d: want 1 to %d bytes", frameBytesMax, FrameBytesMax)
	}
	return &Splitter{kind: kind, max: frameBytesMax}, nil
}

// Add takes the next bytes of the stream; p stays the caller's. Frames that Next
// gave are not valid any more.
func (s *Splitter) Add(p []byte) {
	if s.start > 0 {
		n := copy(s.buf, s.buf[s.start:])
		s.buf = s.buf[:n]
		s.scanned -= s.start
		s.start = 0
	}
	s.buf = append(s.buf, p...)
}

// Next gives the next whole frame without its framing (FIX: the whole message).
// ok is false when more bytes are needed. The error is an *Error, and the stream
// is of no use from there on.
func (s *Splitter) Next() (frame []byte, ok bool, err error) {
	if s.err != nil {
		return nil, false, s.err
	}
	begin, end, next, reason := s.find(s.buf[s.start:])
	if reason != "" {
		s.err = s.broken(reason)
		return nil, false, s.err
	}
	if next == 0 {
		s.shrink()
		return nil, false, nil
	}
	frame = s.buf[s.start+begin : s.start+end : s.start+end]
	s.start += next
	s.scanned = s.start
	s.offset += uint64(next)
	return frame, true, nil
}

// find looks at the bytes from the frame under way on: its payload is p[begin:end]
// and the next frame starts at next. next 0: it is not whole yet.
func (s *Splitter) find(p []byte) (begin, end, next int, reason string) {
	switch s.kind {
	case Line:
		return s.findLine(p)
	case U16BE:
		if len(p) < 2 {
			return 0, 0, 0, ""
		}
		return s.behindLength(p, 2, uint64(binary.BigEndian.Uint16(p)))
	case U32BE:
		if len(p) < 4 {
			return 0, 0, 0, ""
		}
		return s.behindLength(p, 4, uint64(binary.BigEndian.Uint32(p)))
	}
	n, reason := scanFIX(p, s.max)
	return 0, n, n, reason
}

func (s *Splitter) findLine(p []byte) (begin, end, next int, reason string) {
	from := s.scanned - s.start
	i := bytes.IndexByte(p[from:], '\n')
	switch {
	case i >= 0 && from+i <= s.max:
		return 0, from + i, from + i + 1, ""
	case i >= 0 || len(p) > s.max:
		return 0, 0, 0, fmt.Sprintf("a line of more than %d bytes", s.max)
	}
	s.scanned = len(s.buf)
	return 0, 0, 0, ""
}

func (s *Splitter) behindLength(p []byte, prefix int, length uint64) (begin, end, next int, reason string) {
	if length > uint64(s.max) {
		return 0, 0, 0, fmt.Sprintf("its length says %d bytes, at most %d are allowed", length, s.max)
	}
	if whole := prefix + int(length); len(p) >= whole {
		return prefix, whole, whole, ""
	}
	return 0, 0, 0, ""
}

// Rest says whether the stream may end here, between two frames; otherwise the
// *Error says what is cut short.
func (s *Splitter) Rest() error {
	if s.err != nil {
		return s.err
	}
	if n := len(s.buf) - s.start; n > 0 {
		return s.broken(fmt.Sprintf("the stream ends inside it, after %d bytes", n))
	}
	return nil
}

func (s *Splitter) broken(reason string) *Error {
	rest := s.buf[s.start:]
	return &Error{Offset: s.offset, Reason: reason, Excerpt: bytes.Clone(rest[:min(len(rest), excerptBytesMax)])}
}

// bufferKeptBytesMax is how large a buffer may stay that holds less than that.
const bufferKeptBytesMax = 4 << 10

// shrink lets a large buffer go once it holds little: thousands of connections may
// be idle, each behind a burst, or inside a frame.
func (s *Splitter) shrink() {
	rest := s.buf[s.start:]
	if cap(s.buf) <= bufferKeptBytesMax || len(rest) > bufferKeptBytesMax/2 {
		return
	}
	s.scanned -= s.start
	s.buf, s.start = bytes.Clone(rest), 0
}
