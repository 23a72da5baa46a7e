package framing

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// message builds a FIX message around a body, | standing for SOH.
func message(body string) string {
	body = strings.ReplaceAll(body, "|", "\x01")
	m := fmt.Sprintf("8=FIX.4.4\x019=%d\x01%s", len(body), body)
	var sum byte
	for i := range len(m) {
		sum += m[i]
	}
	return fmt.Sprintf("%s10=%03d\x01", m, sum)
}

// split feeds a stream in pieces of at most step bytes.
func split(t testing.TB, kind Kind, limit, step int, stream []byte) (frames []string, err error) {
	t.Helper()
	s, err := NewSplitter(kind, limit)
	if err != nil {
		t.Fatal(err)
	}
	for len(stream) > 0 {
		n := min(step, len(stream))
		s.Add(stream[:n])
		stream = stream[n:]
		for {
			frame, ok, err := s.Next()
			if err != nil {
				return frames, err
			}
			if !ok {
				break
			}
			frames = append(frames, string(frame))
		}
	}
	return frames, s.Rest()
}

func TestSplit(t *testing.T) {
	logon, beat := message("35=A|49=ME|56=YOU|"), message("35=0|")
	cases := []struct {
		name   string
		kind   Kind
		limit  int
		stream string
		frames []string
		reason string // of the error, "" for none
		offset uint64
	}{
		{"lines", Line, 8, "a\n\nb\r\n12345678\n", []string{"a", "", "b\r", "12345678"}, "", 0},
		{"line past the limit", Line, 8, "a\n123456789\n", []string{"a"}, "more than 8 bytes", 2},
		{"line past the limit without its end", Line, 8, "a\n123456789", []string{"a"}, "more than 8 bytes", 2},
		{"line cut short", Line, 8, "a\nbc", []string{"a"}, "ends inside it, after 2 bytes", 2},
		{"u16be", U16BE, 4, "\x00\x01a\x00\x00\x00\x04abcd", []string{"a", "", "abcd"}, "", 0},
		{"u16be past the limit", U16BE, 4, "\x00\x01a\x00\x05", []string{"a"}, "says 5 bytes, at most 4", 3},
		{"u16be cut short", U16BE, 4, "\x00\x01a\x00", []string{"a"}, "ends inside it, after 1 bytes", 3},
		{"u32be", U32BE, 4, "\x00\x00\x00\x01a\x00\x00\x00\x04abcd", []string{"a", "abcd"}, "", 0},
		{"u32be past the limit", U32BE, 4, "\xff\xff\xff\xff", nil, "says 4294967295 bytes, at most 4", 0},
		{"fix", FIX, 100, logon + beat, []string{logon, beat}, "", 0},
		{"fix at the limit", FIX, len(beat), beat + beat, []string{beat, beat}, "", 0},
		{"fix past the limit", FIX, len(beat) - 1, beat, nil, "BodyLength (9=) of 5 makes", 0},
		{"fix with zeros before its length", FIX, 100, strings.Replace(message("35=0|"), "9=5", "9=5", 1), []string{beat}, "", 0},
		{"fix: another protocol", FIX, 100, beat + "GET / HTTP/1.1\r\n", []string{beat}, "expected 8=FIX here", uint64(len(beat))},
		{"fix: no length", FIX, 100, "8=FIX.4.4\x0135=0\x01", nil, "expected 9= here", 0},
		{"fix: length is no number", FIX, 100, "8=FIX.4.4\x019=5x\x01", nil, "want digits", 0},
		{"fix: length is empty", FIX, 100, "8=FIX.4.4\x019=\x01", nil, "is empty", 0},
		{"fix: length is 0", FIX, 100, "8=FIX.4.4\x019=0\x01", nil, "is 0", 0},
		{"fix: endless version", FIX, 1000, "8=FIX" + strings.Repeat("4", 17), nil, "no delimiter (SOH) within 16 bytes", 0},
		{"fix: wrong checksum", FIX, 100, strings.Replace(beat, "35=0", "35=1", 1), nil, "CheckSum (10=) is", 0},
		{"fix: wrong length", FIX, 100, strings.Replace(logon, "9=18", "9=17", 1), nil, "does not lead to a CheckSum", 0},
		{"fix cut short", FIX, 100, beat + beat[:9], []string{beat}, "ends inside it, after 9 bytes", uint64(len(beat))},
	}
	for _, c := range cases {
		for _, step := range []int{1, 2, 3, 7, 1000} {
			frames, err := split(t, c.kind, c.limit, step, []byte(c.stream))
			if !slices.Equal(frames, c.frames) {
				t.Errorf("%s by %d: frames %q, want %q", c.name, step, frames, c.frames)
			}
			var bad *Error
			switch {
			case c.reason == "" && err != nil:
				t.Errorf("%s by %d: %v", c.name, step, err)
			case c.reason != "" && (!errors.As(err, &bad) || !strings.Contains(bad.Reason, c.reason) || bad.Offset != c.offset):
				t.Errorf("%s by %d: error %v, want %q at %d", c.name, step, err, c.reason, c.offset)
			}
		}
	}
}

func TestErrorStays(t *testing.T) {
	s, err := NewSplitter(U16BE, 4)
	if err != nil {
		t.Fatal(err)
	}
	s.Add([]byte{0, 9})
	_, _, first := s.Next()
	s.Add([]byte{0, 1, 'a'})
	if _, ok, again := s.Next(); ok || again != first || s.Rest() != first {
		t.Fatalf("after %v: %v, %v", first, ok, again)
	}
	if want := "frame at byte 0 of the stream: its length says 9 bytes, at most 4 are allowed; it begins 00 09"; first.Error() != want {
		t.Fatalf("error %q, want %q", first, want)
	}
}

func TestNewSplitterRefuses(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		max  int
		ok   bool
	}{{Line, 1, true}, {Line, FrameBytesMax, true}, {Line, 0, false}, {Line, FrameBytesMax + 1, false}, {"xml", 9, false}} {
		if _, err := NewSplitter(c.kind, c.max); (err == nil) != c.ok {
			t.Errorf("%s with %d: %v", c.kind, c.max, err)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	for _, c := range []struct {
		kind    Kind
		payload string
		ok      bool
	}{
		{Line, "", true}, {Line, "a\nb", false},
		{U16BE, strings.Repeat("x", 65535), true}, {U16BE, strings.Repeat("x", 65536), false},
		{U32BE, "abc", true},
		{FIX, message("35=0|"), true}, {FIX, "abc", false}, {FIX, message("35=0|") + "8", false}, {FIX, "", false},
		{"xml", "a", false},
	} {
		got, err := c.kind.Append([]byte("before"), []byte(c.payload))
		if (err == nil) != c.ok {
			t.Errorf("%s of %d bytes: %v", c.kind, len(c.payload), err)
		}
		if err != nil && string(got) != "before" {
			t.Errorf("%s: a refused record left %q", c.kind, got)
		}
		if err != nil && c.kind != "xml" && !errors.Is(err, ErrUnframeable) {
			t.Errorf("%s: %v is no ErrUnframeable", c.kind, err)
		}
	}
}

// TestRoundTrip frames random payloads and cuts the stream at random places.
func TestRoundTrip(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		for _, kind := range Kinds() {
			var stream []byte
			var want []string
			for range r.IntN(20) {
				payload := make([]byte, r.IntN(300))
				for i := range payload {
					payload[i] = 'a' + byte(r.IntN(26))
				}
				if kind == FIX {
					payload = []byte(message("35=" + string(payload) + "|"))
				}
				var err error
				if stream, err = kind.Append(stream, payload); err != nil {
					t.Fatal(err)
				}
				want = append(want, string(payload))
			}
			got, err := split(t, kind, 1000, 1+r.IntN(400), stream)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%s: %d frames of %d, %v", kind, len(got), len(want), err)
			}
		}
	}
}

// FuzzSplit holds every framing to the same outcome however the stream is cut, and
// to give back, framed again, the bytes that it took.
func FuzzSplit(f *testing.F) {
	f.Add([]byte("a\nb\n"), uint8(0), uint8(1), uint16(8))
	f.Add([]byte("\x00\x01a\x00\x02bc"), uint8(1), uint8(2), uint16(8))
	f.Add([]byte("\x00\x00\x00\x01a"), uint8(2), uint8(3), uint16(8))
	f.Add([]byte(message("35=0|")+message("35=A|49=ME|")), uint8(3), uint8(5), uint16(100))
	f.Fuzz(func(t *testing.T, stream []byte, kind, step uint8, limit uint16) {
		k := Kinds()[int(kind)%len(Kinds())]
		most := int(limit) + 1
		whole, wholeErr := split(t, k, most, len(stream)+1, stream)
		pieces, piecesErr := split(t, k, most, int(step)+1, stream)
		if !slices.Equal(whole, pieces) || fmt.Sprint(wholeErr != nil) != fmt.Sprint(piecesErr != nil) {
			t.Fatalf("%s: %q (%v) at once, %q (%v) in pieces", k, whole, wholeErr, pieces, piecesErr)
		}
		var again []byte
		for _, frame := range whole {
			if len(frame) > most {
				t.Fatalf("%s: a frame of %d bytes, the limit is %d", k, len(frame), most)
			}
			var err error
			if again, err = k.Append(again, []byte(frame)); err != nil {
				t.Fatalf("%s: %q cannot be framed again: %v", k, frame, err)
			}
		}
		if !bytes.HasPrefix(stream, again) {
			t.Fatalf("%s: framed again %q, the stream was %q", k, again, stream)
		}
	})
}
