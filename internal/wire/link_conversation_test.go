package wire

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// linkFrame is what every frame but data can do.
type linkFrame interface{ Append(b []byte) []byte }

// goldenData is a data frame with its ring bytes.
type goldenData struct {
	LinkDataFrame
	body []byte
}

func (f goldenData) Append(b []byte) []byte {
	return append(f.LinkDataFrame.Append(b, f.body), f.body...)
}

const (
	goldenEpoch = 1795500115519509
	goldenKey   = 0xA1B2C3D4E5F60718
)

// goldenRecord is a record of a ring as docs/MEMORY_LAYOUT.md has it; before is
// what stands between header and payload.
func goldenRecord(position uint64, before []byte, payload string) []byte {
	b := make([]byte, (16+len(before)+len(payload)+15)/16*16)
	binary.LittleEndian.PutUint64(b, (position|1)^goldenKey)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(payload)))
	copy(b[16+copy(b[16:], before):], payload)
	return b
}

// goldenTime is the timestamp of a record, ns since 1970.
func goldenTime(ns uint64) []byte { return binary.LittleEndian.AppendUint64(nil, ns) }

// conversation is the example of docs/PROTOCOL.md, every frame in its file of
// testdata/link: a mirror is opened, fed, loses something and ends; then a
// program writes, its connection breaks, and it goes on.
func conversation() (names []string, frames map[string]linkFrame) {
	frames = map[string]linkFrame{}
	say := func(name string, f linkFrame) {
		names = append(names, name)
		frames[name] = f
	}
	session := [16]byte{0x4f, 0x1c, 0x07, 0xd2, 0x9a, 0x5e, 0x33, 0x80, 0xb6, 0x21, 0xee, 0x48, 0x7d, 0x90, 0xc5, 0x0a}
	opened := LinkOpenedFrame{Stream: 1, Timestamps: true, Policy: 2, RecordMax: 1024, Capacity: 65536, Key: goldenKey, Epoch: goldenEpoch,
		ID: "md/c0.1", Ring: `{"name":"md","epoch":1795500115519509}`}
	two := append(goldenRecord(0, goldenTime(1795500117941077952), "hello"), goldenRecord(32, goldenTime(1795500117941078211), "from exch-1")...)
	third := goldenRecord(4112, goldenTime(1795500118220415306), "and on")

	say("m01-hello", LinkHelloFrame{VersionMin: 1, VersionMax: 1, DeadAfterMS: 3000, Session: session, Name: "desk-1", Agent: "brokerd 1.0.0"})
	say("m02-welcome", LinkWelcomeFrame{Version: 1, StreamsMax: 64, DeadAfterMS: 3000, Name: "exch-1", Agent: "brokerd 1.0.0"})
	say("m03-open", LinkOpenFrame{Stream: 1, Mode: LinkMirror, From: LinkFromOldest, Ring: "md"})
	say("m04-opened", opened)
	say("m05-ack", LinkAckFrame{Stream: 1, Limit: 16384})
	say("m06-data", goldenData{LinkDataFrame{Stream: 1, Epoch: goldenEpoch, Records: 2}, two})
	say("m07-gap", LinkGapFrame{Stream: 1, Epoch: goldenEpoch, Position: 80, Sequence: 2, To: 4112, Lost: 126})
	say("m08-data", goldenData{LinkDataFrame{Stream: 1, Epoch: goldenEpoch, Position: 4112, Sequence: 128, Records: 1}, third})
	say("m09-ack", LinkAckFrame{Stream: 1, Position: 4112, Sequence: 128, Limit: 20496})
	say("m10-beat", LinkBeatFrame{Time: 5000000000})
	say("m11-ack", LinkAckFrame{Stream: 1, Position: 4144, Sequence: 129, Limit: 20528})
	say("m12-beat", LinkBeatFrame{Time: 81000000, Echo: 5000000000, EchoDelay: 250000, Sent: []LinkSent{{1, 4144, 129}}})
	say("m13-end", LinkEndFrame{Stream: 1, Code: CodeRemoved, Message: "ring md was removed"})
	say("m14-end", LinkEndFrame{Stream: 1})
	say("m15-close", LinkCloseFrame{Code: CodeGoodbye, Message: "desk-1 stops"})

	say("p01-hello", LinkHelloFrame{VersionMin: 1, VersionMax: 1, Session: session, Name: "quoter", Agent: "python"})
	say("p02-welcome", LinkWelcomeFrame{Version: 1, StreamsMax: 64, DeadAfterMS: 3000, Name: "exch-1", Agent: "brokerd 1.0.0"})
	say("p03-open", LinkOpenFrame{Stream: 1, Mode: LinkProduce, Ring: "orders", Label: "quoter"})
	opened.Timestamps, opened.Policy, opened.ID, opened.Ring = false, 0, "orders/p0.1", ""
	say("p04-opened", opened)
	say("p05-ack", LinkAckFrame{Stream: 1, Limit: 1048576})
	say("p06-data", goldenData{LinkDataFrame{Stream: 1, Epoch: goldenEpoch, Records: 1}, goldenRecord(0, nil, "buy 10")})
	say("p07-open", LinkOpenFrame{Stream: 1, Mode: LinkProduce, Epoch: goldenEpoch, Ring: "orders", Label: "quoter"})
	opened.Resumed, opened.Position, opened.Sequence, opened.ID = true, 32, 1, "orders/p0.2"
	say("p08-opened", opened)
	denied := AccessDenied("allow.import", "ring orders: the peer quoter is not in allow.import")
	say("p09-end", LinkEndFrame{Stream: 1, Code: CodeRefused, Name: string(denied.Name), Message: denied.Message, Parameters: string(denied.Parameters)})
	return names, frames
}

// dump is a frame as the golden files and the page show it.
func dump(frame []byte) string {
	var s strings.Builder
	for at := 0; at < len(frame); at += 16 {
		line := frame[at:min(at+16, len(frame))]
		fmt.Fprintf(&s, "%03x  % x\n", at, line)
	}
	return s.String()
}

func undump(t *testing.T, text string) []byte {
	t.Helper()
	var frame []byte
	for line := range strings.Lines(text) {
		_, digits, _ := strings.Cut(line, "  ")
		b, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		frame = append(frame, b...)
	}
	return frame
}

// TestLinkFramesAreGolden holds each frame to its file, both ways. With
// UPDATE_GOLDEN=1 it writes the files: a change that needs it is a new version of
// the protocol.
func TestLinkFramesAreGolden(t *testing.T) {
	names, frames := conversation()
	kinds := map[LinkKind]bool{}
	for _, name := range names {
		f := frames[name]
		file := filepath.Join("testdata", "link", name+".hex")
		got := f.Append(nil)
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(file, []byte(dump(got)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if dump(got) != string(want) {
			t.Errorf("%s is encoded as\n%s, want\n%s", name, dump(got), want)
		}
		frame := undump(t, string(want))
		h, err := DecodeLinkHeader(frame)
		if err != nil || int(h.Bytes) != len(frame) || CheckLinkFrame(frame) != nil {
			t.Errorf("%s: header %+v of %d bytes, %v, %v", name, h, len(frame), err, CheckLinkFrame(frame))
		}
		kinds[h.Kind] = true
		if decoded, err := decodeAny(frame); err != nil || !reflect.DeepEqual(decoded, f) {
			t.Errorf("%s is read as\n%+v, want\n%+v; %v", name, decoded, f, err)
		}
	}
	for k := LinkHello; k <= LinkBeat; k++ {
		if !kinds[k] {
			t.Errorf("no golden file has a frame of kind %s", k)
		}
	}
	files, err := filepath.Glob("testdata/link/*")
	if err != nil || len(files) != len(names) {
		t.Errorf("%d golden files for %d frames, %v", len(files), len(names), err)
	}
}

// decodeAny reads a frame by the decoder of its kind.
func decodeAny(frame []byte) (linkFrame, error) {
	h, err := DecodeLinkHeader(frame)
	if err != nil {
		return nil, err
	}
	switch h.Kind {
	case LinkHello:
		return DecodeLinkHello(frame)
	case LinkWelcome:
		return DecodeLinkWelcome(frame)
	case LinkClose:
		return DecodeLinkClose(frame)
	case LinkOpen:
		return DecodeLinkOpen(frame)
	case LinkOpened:
		return DecodeLinkOpened(frame)
	case LinkEnd:
		return DecodeLinkEnd(frame)
	case LinkData:
		f, err := DecodeLinkData(frame)
		if err == nil && int(f.Bytes) != len(frame)-LinkDataHeaderBytes {
			err = fmt.Errorf("%w: %d ring bytes said, %d there", ErrLinkMalformed, f.Bytes, len(frame)-LinkDataHeaderBytes)
		}
		f.Bytes = 0 // not looked at by Append
		return goldenData{f, frame[min(LinkDataHeaderBytes, len(frame)):]}, err
	case LinkGap:
		return DecodeLinkGap(frame)
	case LinkAck:
		return DecodeLinkAck(frame)
	}
	return DecodeLinkBeat(frame)
}
