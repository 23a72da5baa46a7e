package framing

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Kind is how frames are told apart.
type Kind string

// The kinds.
const (
	Line  Kind = "line"
	U16BE Kind = "u16be"
	U32BE Kind = "u32be"
	FIX   Kind = "fix"
)

// Kinds are the words of the configuration.
func Kinds() []Kind { return []Kind{Line, U16BE, U32BE, FIX} }

// Valid tells whether k is one of the kinds.
func (k Kind) Valid() bool { return slices.Contains(Kinds(), k) }

// FrameBytesMax is the largest limit that a Splitter takes.
const FrameBytesMax = 256 << 20

// excerptBytesMax is how much of the stream an Error shows.
const excerptBytesMax = 32

// ErrUnframeable says that a record cannot be sent in a framing; the error in
// hand says why.
var ErrUnframeable = errors.New("record cannot be framed")

// Error says where a stream broke the rules of its framing.
type Error struct {
	Offset  uint64 // of the frame's first byte in the stream
	Reason  string
	Excerpt []byte // the frame's first bytes, at most 32
}

func (e *Error) Error() string {
	return fmt.Sprintf("frame at byte %d of the stream: %s; it begins % x", e.Offset, e.Reason, e.Excerpt)
}

// Append frames payload for sending and appends it to dst. Errors: ErrUnframeable,
// for a newline within a line, a payload longer than its length can say, and what
// is no FIX message.
func (k Kind) Append(dst, payload []byte) ([]byte, error) {
	switch k {
	case Line:
		if i := bytes.IndexByte(payload, '\n'); i >= 0 {
			return dst, fmt.Errorf("%w: it has a newline at byte %d, and each line is a record", ErrUnframeable, i)
		}
		return append(append(dst, payload...), '\n'), nil
	case U16BE:
		if len(payload) > math.MaxUint16 {
			return dst, fmt.Errorf("%w: %d bytes, a length of two bytes says at most %d", ErrUnframeable, len(payload), math.MaxUint16)
		}
		return append(binary.BigEndian.AppendUint16(dst, uint16(len(payload))), payload...), nil
	case U32BE:
		if uint64(len(payload)) > math.MaxUint32 {
			return dst, fmt.Errorf("%w: %d bytes, a length of four bytes says at most %d", ErrUnframeable, len(payload), uint32(math.MaxUint32))
		}
		return append(binary.BigEndian.AppendUint32(dst, uint32(len(payload))), payload...), nil
	case FIX:
		n, reason := scanFIX(payload, math.MaxInt)
		if reason == "" && (n == 0 || n != len(payload)) {
			reason = "it is not one whole FIX message"
		}
		if reason != "" {
			return dst, fmt.Errorf("%w: %s", ErrUnframeable, reason)
		}
		return append(dst, payload...), nil
	}
	return dst, fmt.Errorf("framing %q: want one of %v", string(k), Kinds())
}
