package e2e

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// u32be frames records as --framing u32be does.
func u32be(records ...string) string {
	var out bytes.Buffer
	for _, r := range records {
		_ = binary.Write(&out, binary.BigEndian, uint32(len(r))) // never fails
		out.WriteString(r)
	}
	return out.String()
}

// smallRing takes records of at most 100 bytes.
const smallRing = "[{name: md, capacity: 64KiB, record_max: 100}]"

// TestFraming publishes inputs and reads them back with both framings.
func TestFraming(t *testing.T) {
	longest := strings.Repeat("x", 100)
	for _, c := range []struct {
		name, framing, input string
		records              []string
	}{
		{"empty lines are records", "line", "a\n\n\nb\n", []string{"a", "", "", "b"}},
		{"a carriage return belongs to the record", "line", "a\r\n\r\nb\n", []string{"a\r", "\r", "b"}},
		{"a last line without newline counts", "line", "a\nlast", []string{"a", "last"}},
		{"a newline at the end begins no record", "line", "a\n", []string{"a"}},
		{"one newline is one empty record", "line", "\n", []string{""}},
		{"no input, no record", "line", "", nil},
		{"any byte but the newline", "line", "\x00\xff\x1b[0m\xc3\n\t \n", []string{"\x00\xff\x1b[0m\xc3", "\t "}},
		{"the longest record", "line", longest + "\n" + longest, []string{longest, longest}},
		{"u32be: newlines in records", "u32be", u32be("a\nb", "", "\n", longest), []string{"a\nb", "", "\n", longest}},
		{"u32be: no input", "u32be", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, smallRing)
			p.Start()
			producer := p.Feed(c.input, "attach", "md", "--as", "producer", "--framing", c.framing, "--end", "-o", "json")
			producer.Expect(0)
			want := u32be(c.records...)
			size := uint64(len(want) - 4*len(c.records))
			if s := summaryOf(producer); s.Records != uint64(len(c.records)) || s.Bytes != size || s.Role != "producer" || s.Ring != "md" {
				t.Errorf("the producer tells %+v, want %d records, %d bytes", s, len(c.records), size)
			}
			if got := p.Output("attach", "md", "--as", "consumer", "--from", "oldest", "--framing", "u32be", "--until-end"); got != want {
				t.Errorf("as u32be: %q, want %q", got, want)
			}
			lines := strings.Join(append(c.records, ""), "\n")
			if got := p.Output("attach", "md", "--as", "consumer", "--from", "oldest", "--until-end"); got != lines {
				t.Errorf("as lines: %q, want %q", got, lines)
			}
		})
	}
}

// TestBadInput ends with 1 and says where; what was good before it is published.
func TestBadInput(t *testing.T) {
	tooLong := strings.Repeat("x", 101)
	for _, c := range []struct {
		name, framing, input string
		words                []string
		published            string
	}{
		{"a line too long", "line", "a\nb\n" + tooLong + "\nc\n", []string{"line 3", "101 bytes", "record_max", "100"}, u32be("a", "b")},
		{"a last line too long", "line", "a\n" + tooLong, []string{"line 2", "101 bytes", "100"}, u32be("a")},
		{"a line far too long", "line", "a\n" + strings.Repeat("y", 5<<20) + "\nb\n", []string{"line 2", "5242880 bytes", "100"}, u32be("a")},
		{"a record too long", "u32be", u32be("a", tooLong), []string{"record 2", "101 bytes", "100"}, u32be("a")},
		{"a length cut short", "u32be", u32be("abc") + "\x00\x00", []string{"truncated", "offset 7", "2 of its 4"}, u32be("abc")},
		{"a record cut short", "u32be", u32be("a", "b") + "\x00\x00\x00\x05ab", []string{"truncated", "offset 10", "6 of its 9"}, u32be("a", "b")},
		{"text as u32be", "u32be", "hello world\n", []string{"record 1", "1751477356 bytes", "100"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, smallRing)
			p.Start()
			producer := p.Feed(c.input, "attach", "md", "--as", "producer", "--framing", c.framing)
			producer.Expect(1)
			for _, word := range c.words {
				if !strings.Contains(producer.Stderr.String(), word) {
					t.Errorf("%q is not in:\n%s", word, producer.Stderr)
				}
			}
			p.Publish("md", "", "--end")
			if got := p.Output("attach", "md", "--as", "consumer", "--from", "oldest", "--framing", "u32be", "--until-end"); got != c.published {
				t.Errorf("published %q, want %q", got, c.published)
			}
		})
	}
}
