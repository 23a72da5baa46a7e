package framing

import (
	"bytes"
	"fmt"
)

// FIX tag=value messages (FIX 4.x and FIXT 1.1, FIX Session Layer, "Message
// framing"): the first three fields are fixed,
//
//	8=BeginString | 9=BodyLength | ... body ... | 10=CheckSum |
//
// where | is SOH (0x01). BodyLength counts the bytes from behind its own delimiter
// up to and including the one before 10=. CheckSum is the sum of all bytes before
// 10=, modulo 256, as three digits.
const (
	soh = 0x01
	// fixBeginBytesMax bounds the value of 8=; "FIXT.1.1" has 8.
	fixBeginBytesMax = 16
	// fixLengthDigitsMax bounds the value of 9=: leading zeros are in use.
	fixLengthDigitsMax = 9
	fixTrailerBytes    = len("10=000\x01")
)

// scanFIX looks for a whole message of at most max bytes at the start of p. n 0:
// it is not whole yet. reason, if any, says why it can be none.
func scanFIX(p []byte, max int) (n int, reason string) {
	body, length, reason := fixHeader(p)
	if reason != "" || body == 0 {
		if reason == "" && len(p) >= max {
			reason = tooLongFIX(max)
		}
		return 0, reason
	}
	whole := body + length + fixTrailerBytes
	if whole > max {
		return 0, fmt.Sprintf("its BodyLength (9=) of %d makes %d bytes, at most %d are allowed", length, whole, max)
	}
	if len(p) < whole {
		return 0, fixTrailerSoFar(p, body+length)
	}
	if reason := fixTrailer(p[:whole], body+length); reason != "" {
		return 0, reason
	}
	return whole, ""
}

func tooLongFIX(max int) string { return fmt.Sprintf("a message of more than %d bytes", max) }

// fixHeader reads 8= and 9=: where the body begins, and its length. body 0: more
// bytes are needed.
func fixHeader(p []byte) (body, length int, reason string) {
	begin, reason := fixField(p, "8=FIX", fixBeginBytesMax)
	if reason != "" || begin == 0 {
		return 0, 0, reason
	}
	end, reason := fixField(p[begin:], "9=", fixLengthDigitsMax)
	if reason != "" || end == 0 {
		return 0, 0, reason
	}
	digits := p[begin+len("9=") : begin+end-1]
	if len(digits) == 0 {
		return 0, 0, "BodyLength (9=) is empty"
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, 0, fmt.Sprintf("BodyLength (9=) is %q: want digits", digits)
		}
		length = length*10 + int(c-'0')
	}
	if length == 0 {
		return 0, 0, "BodyLength (9=) is 0: a message has at least its type (35=)"
	}
	return begin + end, length, ""
}

// fixField reads a field that must start with prefix and have at most valueMax
// bytes behind it; n is the whole field with its delimiter, 0 when more bytes are
// needed.
func fixField(p []byte, prefix string, valueMax int) (n int, reason string) {
	if have := min(len(p), len(prefix)); string(p[:have]) != prefix[:have] {
		return 0, fmt.Sprintf("expected %s here, got %q", prefix, p[:have])
	}
	if len(p) < len(prefix) {
		return 0, ""
	}
	value := p[len(prefix):]
	i := bytes.IndexByte(value[:min(len(value), valueMax+1)], soh)
	if i < 0 && len(value) > valueMax {
		return 0, fmt.Sprintf("no delimiter (SOH) within %d bytes behind %s", valueMax, prefix)
	}
	if i < 0 {
		return 0, ""
	}
	return len(prefix) + i + 1, ""
}

// fixTrailerSoFar looks at a message that is not whole: a body that is there but
// is not followed by its checksum is wrong already.
func fixTrailerSoFar(p []byte, body int) (reason string) {
	if len(p) <= body {
		return ""
	}
	const start = "10="
	rest := p[body:]
	if have := min(len(rest), len(start)); string(rest[:have]) != start[:have] || p[body-1] != soh {
		return wrongLengthFIX
	}
	return ""
}

const wrongLengthFIX = "its BodyLength (9=) does not lead to a CheckSum (10=)"

// fixTrailer checks 10=ddd| at the end of a whole message.
func fixTrailer(p []byte, body int) (reason string) {
	trailer := p[body:]
	if p[body-1] != soh || string(trailer[:3]) != "10=" || trailer[6] != soh {
		return wrongLengthFIX
	}
	var sum byte
	for _, c := range p[:body] {
		sum += c
	}
	if want := fmt.Sprintf("%03d", sum); string(trailer[3:6]) != want {
		return fmt.Sprintf("its CheckSum (10=) is %q, computed %s", trailer[3:6], want)
	}
	return ""
}
