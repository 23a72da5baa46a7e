package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the strings in frames.
const (
	LinkAgentBytesMax      = 128
	LinkMessageBytesMax    = 1024
	LinkErrorNameBytesMax  = 128
	LinkParametersBytesMax = 2048
	LinkIDBytesMax         = 128
	LinkRingBytesMax       = 3072
)

// linkTextBytes is what stands before each string: its length in bytes, u16.
const linkTextBytes = 2

// linkWriter builds one frame at the end of a buffer.
type linkWriter struct {
	b     []byte
	start int
}

func beginLink(b []byte, kind LinkKind, stream uint16) *linkWriter {
	w := &linkWriter{b: b, start: len(b)}
	w.u32(0).u8(uint8(kind)).u8(0).u16(stream).u32(0).u32(0)
	return w
}

func (w *linkWriter) u8(v uint8) *linkWriter { w.b = append(w.b, v); return w }
func (w *linkWriter) u16(v uint16) *linkWriter {
	w.b = binary.LittleEndian.AppendUint16(w.b, v)
	return w
}
func (w *linkWriter) u32(v uint32) *linkWriter {
	w.b = binary.LittleEndian.AppendUint32(w.b, v)
	return w
}
func (w *linkWriter) u64(v uint64) *linkWriter {
	w.b = binary.LittleEndian.AppendUint64(w.b, v)
	return w
}

// text appends what of s a peer takes: control characters and broken UTF-8 are
// replaced, and what is over the limit is cut off.
func (w *linkWriter) text(s string, bytesMax int) *linkWriter {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > bytesMax {
		s = strings.ToValidUTF8(s[:bytesMax], "")
	}
	w.b = append(w.u16(uint16(len(s))).b, s...)
	return w
}

// name appends a name as it is. One that is too long stays so: cut to the limit
// it could name something else.
func (w *linkWriter) name(s string) *linkWriter {
	s = s[:min(len(s), NameBytesMax+1)]
	w.b = append(w.u16(uint16(len(s))).b, s...)
	return w
}

// object appends a JSON object, or "" when it is over the limit: half of one
// would be of no use.
func (w *linkWriter) object(s string, bytesMax int) *linkWriter {
	if len(s) > bytesMax {
		s = ""
	}
	w.b = append(w.u16(uint16(len(s))).b, s...)
	return w
}

// end writes length and checksum; body is what follows the frame's bytes without
// being copied behind them.
func (w *linkWriter) end(body []byte) []byte {
	frame := w.b[w.start:]
	binary.LittleEndian.PutUint32(frame[linkBytesOff:], uint32(len(frame)+len(body)))
	binary.LittleEndian.PutUint32(frame[linkCRCOff:], continueSum(sumLink(frame), body))
	return w.b
}

// linkReader takes one frame apart. The first thing that is wrong stays in err;
// what is read after it is zero.
type linkReader struct {
	kind   LinkKind
	stream uint16
	b      []byte
	err    error
}

// openLink checks the header of frame, which has to be of that kind and as long
// as it says.
func openLink(frame []byte, kind LinkKind) *linkReader {
	h, err := DecodeLinkHeader(frame)
	r := &linkReader{kind: kind, stream: h.Stream, err: err}
	switch {
	case err != nil:
	case h.Kind != kind:
		r.refuse("want %s, got %s", kind, h.Kind)
	case int(h.Bytes) != len(frame) && kind != LinkData:
		r.refuse("%s says %d bytes and has %d", kind, h.Bytes, len(frame))
	default:
		r.b = frame[LinkHeaderBytes:]
	}
	return r
}

func (r *linkReader) refuse(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrLinkMalformed, fmt.Sprintf(format, args...))
	}
	r.b = nil
}

func (r *linkReader) take(n int, what string) []byte {
	if len(r.b) < n {
		r.refuse("%s ends within %s", r.kind, what)
		return make([]byte, n)
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *linkReader) u8(what string) uint8   { return r.take(1, what)[0] }
func (r *linkReader) u16(what string) uint16 { return binary.LittleEndian.Uint16(r.take(2, what)) }
func (r *linkReader) u32(what string) uint32 { return binary.LittleEndian.Uint32(r.take(4, what)) }
func (r *linkReader) u64(what string) uint64 { return binary.LittleEndian.Uint64(r.take(8, what)) }

// upTo reads a small number and refuses one over the limit.
func (r *linkReader) upTo(limit uint8, what string) uint8 {
	v := r.u8(what)
	if v > limit {
		r.refuse("%s: %s %d, known are up to %d", r.kind, what, v, limit)
	}
	return v
}

func (r *linkReader) zeros(n int) {
	for _, b := range r.take(n, "reserved bytes") {
		if b != 0 {
			r.refuse("%s: reserved bytes are not zero", r.kind)
		}
	}
}

// position reads a position in a ring.
func (r *linkReader) position(what string) uint64 {
	v := r.u64(what)
	if v%linkAlign != 0 || v >= LinkPositionMax {
		r.refuse("%s: %s %d, want a multiple of %d below 2^60", r.kind, what, v, linkAlign)
	}
	return v
}

// epoch reads the epoch of a ring, least or more.
func (r *linkReader) epoch(least uint64) uint64 {
	v := r.u64("epoch")
	if v < least || v >= 1<<63 {
		r.refuse("%s: epoch %d, want %d to 2^63-1", r.kind, v, least)
	}
	return v
}

// text reads a string for people: UTF-8 without control characters.
func (r *linkReader) text(bytesMax int, what string) string {
	n := int(r.u16(what))
	if n > bytesMax {
		r.refuse("%s: %s of %d bytes, at most %d are taken", r.kind, what, n, bytesMax)
		return ""
	}
	s := string(r.take(n, what))
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		r.refuse("%s: %s %s is not plain text", r.kind, what, quote(s))
	}
	return s
}

// name reads what can name a ring or a host.
func (r *linkReader) name(what string) string {
	s := r.text(NameBytesMax, what)
	if r.err == nil && !ValidName(s) {
		r.refuse("%s: %s %s, want 1 to %d of [a-zA-Z0-9._-], the first a letter or digit", r.kind, what, quote(s), NameBytesMax)
	}
	return s
}

// label reads what can name an attachment, "" for none.
func (r *linkReader) label(what string) string {
	s := r.text(NameBytesMax, what)
	if r.err == nil && s != "" && !ValidLabel(s) {
		r.refuse("%s: %s %s, want up to %d of [a-zA-Z0-9._-]", r.kind, what, quote(s), NameBytesMax)
	}
	return s
}

// object reads a JSON object, "" for none.
func (r *linkReader) object(bytesMax int, what string) string {
	n := int(r.u16(what))
	if n > bytesMax {
		r.refuse("%s: %s of %d bytes, at most %d are taken", r.kind, what, n, bytesMax)
		return ""
	}
	b := r.take(n, what)
	if r.err == nil && n > 0 && (b[0] != '{' || !utf8.Valid(b) || !json.Valid(b)) {
		r.refuse("%s: %s is no JSON object: %s", r.kind, what, quote(string(b)))
	}
	return string(b)
}

// end tells what was wrong, bytes that are left over included.
func (r *linkReader) end() error {
	if len(r.b) > 0 {
		r.refuse("%s has %d bytes too many", r.kind, len(r.b))
	}
	return r.err
}
