package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// readAll reads records until an error, which it returns unless it is io.EOF.
func readAll(r frameReader) (records []string, err error) {
	for {
		record, err := r.Next()
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return records, err
		}
		records = append(records, string(record))
	}
}

func TestLineReader(t *testing.T) {
	for _, tc := range []struct {
		name, input string
		want        []string
	}{
		{"nothing", "", nil},
		{"one line", "a\n", []string{"a"}},
		{"no newline at the end", "a\nb", []string{"a", "b"}},
		{"empty lines", "\n\n", []string{"", ""}},
		{"carriage return stays", "a\r\nb\r", []string{"a\r", "b\r"}},
		{"exactly the maximum", "12345678\n12345678", []string{"12345678", "12345678"}},
	} {
		for kind, r := range map[string]io.Reader{
			"whole": strings.NewReader(tc.input), "bytewise": iotest.OneByteReader(strings.NewReader(tc.input)),
			"data with EOF": iotest.DataErrReader(strings.NewReader(tc.input)),
		} {
			got, err := readAll(newLineReader(r, 8))
			if err != nil || fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tc.want) {
				t.Errorf("%s, %s: got %q, %v; want %q", tc.name, kind, got, err, tc.want)
			}
		}
	}
}

func TestLineReaderTooLong(t *testing.T) {
	long := strings.Repeat("x", 3*inputBufferBytes)
	for _, tc := range []struct {
		name, input string
		max         int
		records     int
		want        string
	}{
		{"one byte over", "ab\n123456789\nc\n", 8, 1, "line 2 of the input is 9 bytes, record_max of the ring is 8;"},
		{"at the end of the input", "123456789", 8, 0, "line 1 of the input is 9 bytes,"},
		{"longer than the buffer", "a\n" + long + "\n", 8, 1, "line 2 of the input is 196608 bytes,"},
		{"longer than a big record", long + "x\nb\n", len(long), 0, "line 1 of the input is 196609 bytes, record_max of the ring is 196608;"},
		{"longer, at the end", long, 70000, 0, "line 1 of the input is 196608 bytes,"},
	} {
		r := newLineReader(strings.NewReader(tc.input), tc.max)
		got, err := readAll(r)
		if err == nil || !strings.HasPrefix(err.Error(), tc.want) || len(got) != tc.records {
			t.Errorf("%s: got %d records, %v; want %d and %q", tc.name, len(got), err, tc.records, tc.want)
		}
		if _, again := r.Next(); again == nil {
			t.Errorf("%s: reading goes on after the error", tc.name)
		}
	}
}

func TestLineReaderBigRecords(t *testing.T) {
	long := strings.Repeat("x", 3*inputBufferBytes)
	got, err := readAll(newLineReader(strings.NewReader("a\n"+long+"\nb\n"+long), len(long)))
	if err != nil || len(got) != 4 || got[1] != long || got[3] != long {
		t.Fatalf("got %d records, %v", len(got), err)
	}
}

// TestLineReaderMemory feeds an endless line: it is counted up to a limit, not
// kept.
func TestLineReaderMemory(t *testing.T) {
	const max = 100_000
	r := newLineReader(endless{}, max)
	_, err := r.Next()
	var large *tooLargeError
	if !errors.As(err, &large) || !large.AtLeast || large.Size < lineCountBytesMax {
		t.Fatalf("got %v, want at least %d bytes", err, lineCountBytesMax)
	}
	if len(r.buf) > max+1 {
		t.Errorf("%d bytes are kept, want at most %d", len(r.buf), max+1)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestLineReaderErrors(t *testing.T) {
	broken := io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(errStopped))
	got, err := readAll(newLineReader(broken, 8))
	if !errors.Is(err, errStopped) || len(got) != 1 {
		t.Errorf("got %q, %v; want only the finished line and the error", got, err)
	}
	if _, err := newLineReader(silent{}, 8).Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that returns nothing: got %v", err)
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

func TestU32Reader(t *testing.T) {
	for _, tc := range []struct {
		name, input string
		want        []string
		fails       string
	}{
		{"nothing", "", nil, ""},
		{"two", "\x00\x00\x00\x02ab\x00\x00\x00\x00", []string{"ab", ""}, ""},
		{"half a length", "\x00\x00\x00\x01a\x00\x00", []string{"a"},
			"the input is truncated: the record at byte offset 5 ends after 2 of its 4-byte length"},
		{"half a payload", "\x00\x00\x00\x05abc", nil,
			"the input is truncated: the record at byte offset 0 ends after 7 of its 9 bytes of length and payload"},
		{"no payload", "\x00\x00\x00\x05", nil,
			"the input is truncated: the record at byte offset 0 ends after 4 of its 9 bytes of length and payload"},
		{"the maximum", "\x00\x00\x00\x0812345678", []string{"12345678"}, ""},
		{"over the maximum", "\x00\x00\x00\x01a\x00\x00\x00\x09123456789", []string{"a"},
			"record 2 of the input is 9 bytes, record_max of the ring is 8; everything before it was published"},
	} {
		for kind, r := range map[string]io.Reader{
			"whole": strings.NewReader(tc.input), "bytewise": iotest.OneByteReader(strings.NewReader(tc.input)),
		} {
			got, err := readAll(newU32Reader(r, 8))
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tc.want) || tc.fails == "" && err != nil ||
				tc.fails != "" && (err == nil || err.Error() != tc.fails) {
				t.Errorf("%s, %s: got %q, %v; want %q, %s", tc.name, kind, got, err, tc.want, tc.fails)
			}
		}
	}
}

func TestFramingWrite(t *testing.T) {
	for _, tc := range []struct {
		framing framing
		prefix  []byte
		want    string
	}{
		{framingLine, nil, "ab\n\nc\nd\n"},
		{framingLine, framingLine.prefix("md"), "md\tab\nmd\t\nmd\tc\nd\n"},
		{framingU32BE, nil, "\x00\x00\x00\x02ab\x00\x00\x00\x00\x00\x00\x00\x03c\nd"},
		{framingU32BE, framingU32BE.prefix("md"),
			"\x00\x00\x00\x02md\x00\x00\x00\x02ab\x00\x00\x00\x02md\x00\x00\x00\x00\x00\x00\x00\x02md\x00\x00\x00\x03c\nd"},
	} {
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		for _, record := range []string{"ab", "", "c\nd"} {
			if err := tc.framing.write(w, tc.prefix, []byte(record)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if out.String() != tc.want {
			t.Errorf("%s, prefix %q: got %q, want %q", tc.framing, tc.prefix, out.String(), tc.want)
		}
	}
}

// FuzzLineReader compares with what splitting the whole input gives, for any
// chunking.
func FuzzLineReader(f *testing.F) {
	f.Add([]byte("a\n\nbc\r\n123456789"), uint16(8), uint8(1))
	f.Add([]byte("\n"), uint16(0), uint8(0))
	f.Add(bytes.Repeat([]byte("xy\n"), 100), uint16(2), uint8(7))
	f.Fuzz(func(t *testing.T, input []byte, max uint16, step uint8) {
		r := newLineReader(&chunked{input, int(step)}, int(max))
		lines := bytes.Split(input, []byte("\n"))
		if len(lines[len(lines)-1]) == 0 {
			lines = lines[:len(lines)-1]
		}
		for i, line := range lines {
			got, err := r.Next()
			if len(line) > int(max) {
				var large *tooLargeError
				if !errors.As(err, &large) || large.Number != uint64(i+1) || large.Size != uint64(len(line)) || large.AtLeast {
					t.Fatalf("line %d of %d bytes, max %d: got %v", i+1, len(line), max, err)
				}
				return
			}
			if err != nil || !bytes.Equal(got, line) {
				t.Fatalf("line %d: got %q, %v; want %q", i+1, got, err, line)
			}
		}
		if got, err := r.Next(); err != io.EOF {
			t.Fatalf("after the last line: got %q, %v", got, err)
		}
	})
}

// FuzzU32Reader checks that the records read, framed again, are the input, or
// the part of it before what is wrong.
func FuzzU32Reader(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02ab\x00\x00\x00\x00"), uint16(8), uint8(1))
	f.Add([]byte("\x00\x00\x00\x05abc"), uint16(8), uint8(3))
	f.Add([]byte("\xff\xff\xff\xff"), uint16(8), uint8(0))
	f.Fuzz(func(t *testing.T, input []byte, max uint16, step uint8) {
		records, err := readAll(newU32Reader(&chunked{input, int(step)}, int(max)))
		var framed []byte
		for _, record := range records {
			if len(record) > int(max) {
				t.Fatalf("a record of %d bytes, max %d", len(record), max)
			}
			framed = append(binary.BigEndian.AppendUint32(framed, uint32(len(record))), record...)
		}
		rest, ok := bytes.CutPrefix(input, framed)
		var large *tooLargeError
		var short *truncatedError
		switch {
		case !ok:
			t.Fatalf("records %q are not the input %q", records, input)
		case err == nil && len(rest) > 0:
			t.Fatalf("%d bytes were not read", len(rest))
		case err == nil:
		case errors.As(err, &large):
			if len(rest) < 4 || uint64(binary.BigEndian.Uint32(rest)) != large.Size || large.Size <= uint64(max) {
				t.Fatalf("rest %q: got %v", rest, err)
			}
		case errors.As(err, &short):
			if short.Offset != uint64(len(framed)) || short.Got != uint64(len(rest)) || short.Got >= short.Want {
				t.Fatalf("rest %q: got %v", rest, err)
			}
		default:
			t.Fatal(err)
		}
	})
}

// chunked returns at most step bytes at a time, or all when step is 0.
type chunked struct {
	data []byte
	step int
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := len(p)
	if c.step > 0 {
		n = min(n, c.step)
	}
	n = copy(p[:n], c.data)
	c.data = c.data[n:]
	return n, nil
}
