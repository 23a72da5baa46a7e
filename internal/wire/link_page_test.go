package wire

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const linkPage = "docs/PROTOCOL.md"

// betweenHosts is the part of the page that is about these frames.
func betweenHosts(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../../" + linkPage)
	if err != nil {
		t.Fatal(err)
	}
	_, part, found := strings.Cut(string(page), "\n# Between hosts\n")
	if !found {
		t.Fatalf("%s has no part \"Between hosts\"", linkPage)
	}
	return part
}

// pageTable returns the cells of the rows below a head such as "| kind | frame |".
func pageTable(t *testing.T, head string) (rows [][]string) {
	t.Helper()
	_, rest, found := strings.Cut(betweenHosts(t), "\n"+head)
	if !found {
		t.Fatalf("%s has no table that begins with %q", linkPage, head)
	}
	for line := range strings.Lines(rest[strings.Index(rest, "\n")+1:]) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if !strings.HasPrefix(cells[0], "---") {
			rows = append(rows, cells)
		}
	}
	return rows
}

func TestPageHasTheKinds(t *testing.T) {
	rows := pageTable(t, "| kind | frame | of | sent by | bytes |")
	if len(rows) != int(LinkBeat) {
		t.Fatalf("%d kinds on the page, want %d", len(rows), LinkBeat)
	}
	for i, row := range rows {
		kind := LinkKind(i + 1)
		shape := linkShapes[kind]
		of, size := "connection", fmt.Sprintf("%d to %d", shape.bytesMin, shape.bytesMax)
		if shape.stream {
			of = "stream"
		}
		if shape.bytesMin == shape.bytesMax {
			size = fmt.Sprint(shape.bytesMin)
		}
		if kind == LinkData {
			size += ", a multiple of 16"
		}
		want := []string{fmt.Sprint(i + 1), kind.String(), of, row[3], size}
		if !reflect.DeepEqual(row, want) {
			t.Errorf("the page says %q, want %q", row, want)
		}
	}
}

func TestPageHasModesAndCodes(t *testing.T) {
	modes := pageTable(t, "| value | mode |")
	for m := LinkMirror; m <= LinkProduce; m++ {
		if row := modes[m-1]; len(modes) != int(LinkProduce) || row[0] != fmt.Sprint(uint8(m)) || row[1] != m.String() {
			t.Errorf("mode %d: %q", m, row)
		}
	}
	codes := pageTable(t, "| code | word |")
	for c := CodeGoodbye; c <= CodeInternal; c++ {
		if row := codes[c]; len(codes) != int(CodeInternal)+1 || row[0] != fmt.Sprint(uint16(c)) || row[1] != "`"+c.String()+"`" {
			t.Errorf("code %d: %q", c, row)
		}
	}
	starts := pageTable(t, "| from | start |")
	words := []string{LinkFromLatest: "latest", LinkFromOldest: "oldest", LinkFromPosition: "position", LinkFromResume: "resume", LinkFromHeld: "held"}
	for from, word := range words {
		if row := starts[from]; len(starts) != len(words) || row[0] != fmt.Sprint(from) || !strings.HasPrefix(row[1], word+": ") {
			t.Errorf("from %d: %q", from, row)
		}
	}
}

// TestPageHasTheLimits wants each of them with its name, and no other.
func TestPageHasTheLimits(t *testing.T) {
	limits := map[string]int{
		"LinkVersion": LinkVersion, "LinkControlBytesMax": LinkControlBytesMax, "LinkChunkBytesMax": LinkChunkBytesMax,
		"LinkStreamsMax": LinkStreamsMax, "LinkPositionMax": LinkPositionMax, "LinkDeadAfterMSMin": LinkDeadAfterMSMin,
		"LinkDeadAfterMSMax": LinkDeadAfterMSMax, "LinkAgentBytesMax": LinkAgentBytesMax, "LinkMessageBytesMax": LinkMessageBytesMax,
		"LinkErrorNameBytesMax": LinkErrorNameBytesMax, "LinkParametersBytesMax": LinkParametersBytesMax, "LinkIDBytesMax": LinkIDBytesMax,
		"LinkRingBytesMax": LinkRingBytesMax,
	}
	for _, row := range pageTable(t, "| value | what | constant of internal/wire |") {
		name := strings.Trim(row[2], "`")
		if want, ok := limits[name]; !ok || row[0] != fmt.Sprint(want) {
			t.Errorf("the page says %q, the constant is %d", row, want)
		}
		delete(limits, name)
	}
	for name := range limits {
		t.Errorf("the page does not have %s", name)
	}
}

// TestPageHasTheLengths holds the lengths of texts in the tables of the frames.
func TestPageHasTheLengths(t *testing.T) {
	for frame, lengths := range map[string]map[string]int{
		"hello":  {"agent": LinkAgentBytesMax},
		"close":  {"message": LinkMessageBytesMax},
		"opened": {"id": LinkIDBytesMax, "ring": LinkRingBytesMax},
		"end":    {"name": LinkErrorNameBytesMax, "message": LinkMessageBytesMax, "parameters": LinkParametersBytesMax},
	} {
		for _, row := range pageTable(t, "| type | "+frame+" | meaning |") {
			if most, limited := lengths[row[1]]; limited && !strings.HasSuffix(row[2], fmt.Sprintf("up to %d bytes", most)) {
				t.Errorf("%s: the page says %q, the limit is %d bytes", frame, row, most)
			}
		}
	}
}

// byPage reads the fields of a frame by the table of its kind alone.
func byPage(t *testing.T, frame []byte) map[string]any {
	t.Helper()
	fields := map[string]any{}
	at := 0
	number := func(size int) (v uint64) {
		for i := range size {
			v |= uint64(frame[at+i]) << (8 * i)
		}
		at += size
		return v
	}
	read := func(kind, name string) {
		switch kind {
		case "u8", "u16", "u32", "u64":
			bits, _ := strconv.Atoi(kind[1:])
			v := number(bits / 8)
			if name == "zero" && v != 0 {
				t.Errorf("%d where the page says zero", v)
			}
			fields[name] = v
		case "bytes16":
			fields[name] = string(frame[at : at+16])
			at += 16
		case "name", "label", "text", "object":
			n := int(number(2))
			fields[name] = string(frame[at : at+n])
			at += n
		case "rest":
			fields[name] = string(frame[at:])
			at = len(frame)
		default:
			t.Fatalf("%s: %q is no type", linkPage, kind)
		}
	}
	for _, row := range pageTable(t, "| offset | type | header |") {
		if row[0] != fmt.Sprint(at) {
			t.Errorf("the page has %q at %s, want %d", row[2], row[0], at)
		}
		name, _, _ := strings.Cut(row[2], ":")
		read(row[1], name)
	}
	word := LinkKind(fields["kind"].(uint64)).String()
	for _, row := range pageTable(t, "| type | "+word+" | meaning |") {
		read(row[0], row[1])
	}
	if at != len(frame) || fields["bytes"] != uint64(len(frame)) {
		t.Errorf("%s has %d bytes, the page reads %d of %v", word, len(frame), at, fields["bytes"])
	}
	return fields
}

// TestPageReadsTheGoldenFrames reads each golden frame by the tables of the page
// and wants what the decoders say.
func TestPageReadsTheGoldenFrames(t *testing.T) {
	names, frames := conversation()
	for _, name := range names {
		frame := frames[name].Append(nil)
		fields := byPage(t, frame)
		decoded := reflect.ValueOf(frames[name])
		if data, ok := frames[name].(goldenData); ok {
			if fields["ring bytes"] != string(data.body) {
				t.Errorf("%s: the page finds other ring bytes", name)
			}
			decoded = reflect.ValueOf(data.LinkDataFrame)
		}
		for i := range decoded.NumField() {
			field := decoded.Type().Field(i)
			key := snake(field.Name)
			if key == "sent" || key == "bytes" {
				continue
			}
			if field.Type.Kind() == reflect.Bool {
				bit := map[string]uint64{"many": 1, "timestamps": 2, "checksum": 4, "resumed": 65536, "missed": 1}[key]
				if decoded.Field(i).Bool() != (fields["flags"].(uint64)&bit != 0) {
					t.Errorf("%s: %s is %v, flags are %v", name, key, decoded.Field(i), fields["flags"])
				}
				continue
			}
			got, there := fields[key]
			want := decoded.Field(i).Interface()
			if session, ok := want.([16]byte); ok {
				want = string(session[:])
			} else if v := decoded.Field(i); v.CanUint() {
				want = v.Uint()
			}
			if !there || got != want {
				t.Errorf("%s: the page reads %s as %v, want %v", name, key, got, want)
			}
		}
		checkSent(t, name, fields, frames[name])
	}
}

func checkSent(t *testing.T, name string, fields map[string]any, f linkFrame) {
	beat, ok := f.(LinkBeatFrame)
	if !ok {
		return
	}
	rest := []byte(fields["sent"].(string))
	var sent []LinkSent
	for ; len(rest) > 0; rest = rest[24:] {
		le := binary.LittleEndian
		sent = append(sent, LinkSent{le.Uint16(rest), le.Uint64(rest[8:]), le.Uint64(rest[16:])})
	}
	if !reflect.DeepEqual(sent, beat.Sent) {
		t.Errorf("%s: sent %v, want %v", name, sent, beat.Sent)
	}
}

// snake gives dead_after_ms for DeadAfterMS.
func snake(name string) string {
	s := regexp.MustCompile("([a-z])([A-Z])").ReplaceAllString(name, "${1}_${2}")
	return strings.ToLower(s)
}

// TestPageShowsTheGoldenFrames wants every golden file on the page, word for
// word, in the order of the conversation, and nothing else that looks like one.
func TestPageShowsTheGoldenFrames(t *testing.T) {
	rest := betweenHosts(t)
	total := len(regexp.MustCompile(`(?m)^ *000  ([0-9a-f]{2} ){15}[0-9a-f]{2}$`).FindAllString(rest, -1))
	names, _ := conversation()
	for _, name := range names {
		golden, err := os.ReadFile(filepath.Join("testdata", "link", name+".hex"))
		if err != nil {
			t.Fatal(err)
		}
		shown := "    " + strings.ReplaceAll(strings.TrimSpace(string(golden)), "\n", "\n    ") + "\n"
		_, after, found := strings.Cut(rest, shown)
		if !found {
			t.Fatalf("%s does not show %s where it is due:\n%s", linkPage, name, shown)
		}
		rest = after
	}
	if total != len(names) {
		t.Errorf("%s shows %d frames, there are %d golden ones", linkPage, total, len(names))
	}
}
