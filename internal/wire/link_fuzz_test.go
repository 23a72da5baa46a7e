package wire

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzDecodeLinkHeader wants each header to be taken as it is or refused by the
// one error.
func FuzzDecodeLinkHeader(f *testing.F) {
	names, frames := conversation()
	for _, name := range names {
		f.Add(frames[name].Append(nil)[:LinkHeaderBytes])
	}
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := DecodeLinkHeader(b)
		switch {
		case err != nil:
			if !errors.Is(err, ErrLinkMalformed) || len(err.Error()) > 300 {
				t.Errorf("% x: %v", b, err)
			}
		case h.Bytes < LinkHeaderBytes || h.Bytes > LinkDataBytesMax || h.Kind != LinkData && h.Bytes > LinkControlBytesMax:
			t.Errorf("% x: %+v", b, h)
		}
	})
}

// FuzzDecodeLinkFrame gives every decoder what may stand behind a good header.
// What is taken is encoded to the same bytes: nothing has two forms.
func FuzzDecodeLinkFrame(f *testing.F) {
	names, frames := conversation()
	for _, name := range names {
		frame := frames[name].Append(nil)
		f.Add(frame[linkKindOff], frame[linkStreamOff], frame[LinkHeaderBytes:])
	}
	f.Fuzz(func(t *testing.T, kind, stream uint8, body []byte) {
		if len(body) > 2*LinkControlBytesMax {
			return
		}
		w := beginLink(nil, LinkKind(kind), uint16(stream))
		w.b = append(w.b, body...)
		frame := w.end(nil)
		decoded, err := decodeAny(frame)
		if err != nil {
			if !errors.Is(err, ErrLinkMalformed) || len(err.Error()) > 600 {
				t.Errorf("%s: %v", dump(frame), err)
			}
			return
		}
		if hello, ok := decoded.(LinkHelloFrame); ok && hello.VersionMax > LinkVersion {
			return // what a later version appended is gone
		}
		if again := decoded.Append(nil); !bytes.Equal(again, frame) {
			t.Errorf("%+v\n%sbecame\n%s", decoded, dump(frame), dump(again))
		}
	})
}
