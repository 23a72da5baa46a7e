package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"reflect"
	"strings"
	"testing"
)

// resum gives frame, its strings or numbers changed, the length and checksum
// that belong to it.
func resum(frame []byte) []byte {
	binary.LittleEndian.PutUint32(frame[linkBytesOff:], uint32(len(frame)))
	binary.LittleEndian.PutUint32(frame[linkCRCOff:], sumLink(frame))
	return frame
}

// changed is the frame with bytes of it replaced.
func changed(f linkFrame, at int, with ...byte) []byte {
	frame := f.Append(nil)
	copy(frame[at:], with)
	return resum(frame)
}

func text(n int) string { return strings.Repeat("é", n/2) }

func object(n int) string { return `{"x":"` + strings.Repeat("y", n-8) + `"}` }

func TestLinkFramesAppendToABuffer(t *testing.T) {
	names, frames := conversation()
	var all []byte
	for _, name := range names {
		all = frames[name].Append(all)
	}
	for _, name := range names {
		h, err := DecodeLinkHeader(all)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if one := frames[name].Append(nil); !bytes.Equal(all[:h.Bytes], one) {
			t.Errorf("%s behind others is\n%s, alone\n%s", name, dump(all[:h.Bytes]), dump(one))
		}
		all = all[h.Bytes:]
	}
}

func TestLinkFramesAtTheirLimits(t *testing.T) {
	most := uint64(LinkPositionMax - linkAlign)
	name := strings.Repeat("n", NameBytesMax)
	sent := make([]LinkSent, LinkStreamsMax)
	for i := range sent {
		sent[i] = LinkSent{uint16(i + 1), most, 1<<64 - 1}
	}
	for _, f := range []linkFrame{
		LinkHelloFrame{VersionMin: 1, VersionMax: 1, DeadAfterMS: LinkDeadAfterMSMin, Name: name, Agent: text(LinkAgentBytesMax)},
		LinkHelloFrame{VersionMin: 1, VersionMax: 65535, DeadAfterMS: LinkDeadAfterMSMax, Name: "a"},
		LinkWelcomeFrame{Version: 65535, StreamsMax: LinkStreamsMax, DeadAfterMS: LinkDeadAfterMSMax, Name: name, Agent: text(LinkAgentBytesMax)},
		LinkCloseFrame{Code: 65535, Message: text(LinkMessageBytesMax)},
		LinkOpenFrame{Stream: 65535, Mode: LinkProduce, Policy: linkPolicyMax, From: LinkFromHeld, Epoch: 1<<63 - 1, Position: most,
			Sequence: 1<<64 - 1, Ring: name, Label: name},
		LinkOpenedFrame{Stream: 65535, Many: true, Timestamps: true, Checksum: true, Resumed: true, Policy: linkPolicyMax, RecordMax: 1<<32 - 1,
			Capacity: 1<<64 - 1, Key: 1<<64 - 1, Epoch: 1<<63 - 1, Position: most, Sequence: 1<<64 - 1, ID: text(LinkIDBytesMax), Ring: object(LinkRingBytesMax)},
		LinkEndFrame{Stream: 65535, Code: 65535, Name: text(LinkErrorNameBytesMax), Message: text(LinkMessageBytesMax), Parameters: object(LinkParametersBytesMax)},
		LinkGapFrame{Stream: 65535, Missed: true, Epoch: 1<<63 - 1, Position: most - linkAlign, Sequence: 1<<64 - 1, To: most, Lost: 1<<64 - 1},
		LinkAckFrame{Stream: 65535, Position: most, Sequence: 1<<64 - 1, Limit: most},
		LinkBeatFrame{Time: 1<<64 - 1, Echo: 1<<64 - 1, EchoDelay: 1<<64 - 1, Sent: sent},
	} {
		frame := f.Append(nil)
		if len(frame) > LinkControlBytesMax {
			t.Errorf("%+v takes %d bytes", f, len(frame))
		}
		if err := CheckLinkFrame(frame); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
		if got, err := decodeAny(frame); err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%+v became\n%+v, %v", f, got, err)
		}
	}
}

// What is over a limit is cut by who sends it, so that no frame breaks a
// connection for the sake of a message; names stay too long, and are refused.
func TestLinkFramesPastTheirLimits(t *testing.T) {
	cut := text(LinkMessageBytesMax) // two bytes a character
	for _, tt := range []struct{ got, want linkFrame }{
		{LinkCloseFrame{Message: cut + "é"}, LinkCloseFrame{Message: cut}},
		{LinkCloseFrame{Message: "x" + cut}, LinkCloseFrame{Message: "x" + cut[:len(cut)-2]}},
		{LinkCloseFrame{Message: "a\nb\x00c\xffd\u0085"}, LinkCloseFrame{Message: "a b c?d "}},
		{LinkEndFrame{Stream: 1, Parameters: object(LinkParametersBytesMax + 1)}, LinkEndFrame{Stream: 1}},
		{LinkOpenedFrame{Stream: 1, Epoch: 1, Ring: object(LinkRingBytesMax + 1)}, LinkOpenedFrame{Stream: 1, Epoch: 1}},
		{LinkBeatFrame{Sent: slicesOf(LinkSent{Stream: 1}, LinkStreamsMax+1)}, LinkBeatFrame{Sent: slicesOf(LinkSent{Stream: 1}, LinkStreamsMax)}},
	} {
		if got, err := decodeAny(tt.got.Append(nil)); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("got %+v, %v; want %+v", got, err, tt.want)
		}
	}
	long := strings.Repeat("n", 70000)
	for _, f := range []linkFrame{
		LinkHelloFrame{VersionMin: 1, VersionMax: 1, Name: long},
		LinkOpenFrame{Stream: 1, Mode: LinkRead, Ring: long},
		LinkOpenFrame{Stream: 1, Mode: LinkRead, Ring: "md", Label: long},
	} {
		if got, err := decodeAny(f.Append(nil)); !errors.Is(err, ErrLinkMalformed) || !strings.Contains(err.Error(), "of 65 bytes, at most 64") {
			t.Errorf("a name of %d bytes: %+v, %v", len(long), got, err)
		}
	}
}

func slicesOf[T any](v T, n int) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = v
	}
	return list
}

func TestDecodeLinkHeaderRefuses(t *testing.T) {
	header := func(bytes uint32, kind LinkKind, stream uint16) []byte {
		b := make([]byte, LinkHeaderBytes)
		binary.LittleEndian.PutUint32(b[linkBytesOff:], bytes)
		b[linkKindOff] = uint8(kind)
		binary.LittleEndian.PutUint16(b[linkStreamOff:], stream)
		return b
	}
	set := func(b []byte, at int) []byte { b[at] = 1; return b }
	for _, tt := range []struct {
		header []byte
		want   string // "" for a good one
	}{
		{nil, "a header has 16 bytes, got 0"},
		{make([]byte, 15), "got 15"},
		{make([]byte, 16), "kind 0, known are 1 to 10"},
		{header(40, LinkBeat+1, 0), "kind 11"},
		{[]byte("GET / HTTP/1.1\r\n"), "kind 47"},
		{[]byte{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0, 0}, "looks like the start of TLS"},
		{set(header(linkAckBytes, LinkAck, 1), linkZeroOff), "reserved"},
		{set(header(linkAckBytes, LinkAck, 1), linkReservedOff), "reserved"},
		{set(header(linkAckBytes, LinkAck, 1), LinkHeaderBytes-1), "reserved"},
		{header(linkAckBytes, LinkAck, 1), ""},
		{header(linkAckBytes+1, LinkAck, 1), "ack of 41 bytes, want 40 to 40"},
		{header(linkGapBytes-1, LinkGap, 1), "gap of 63 bytes, want 64 to 64"},
		{header(linkHelloBytesMin, LinkHello, 0), ""},
		{header(linkHelloBytesMin-1, LinkHello, 0), "hello of 51"},
		{header(LinkControlBytesMax, LinkHello, 0), ""},
		{header(LinkControlBytesMax+1, LinkHello, 0), "want 52 to 4096"},
		{header(LinkControlBytesMax+1, LinkEnd, 1), "to 4096"},
		{header(linkBeatBytesMin+LinkStreamsMax*linkSentBytes, LinkBeat, 0), ""},
		{header(linkBeatBytesMin+LinkStreamsMax*linkSentBytes+1, LinkBeat, 0), "beat of 1577"},
		{header(LinkDataHeaderBytes+16, LinkData, 1), ""},
		{header(LinkDataHeaderBytes, LinkData, 1), "data of 48 bytes, want 64"},
		{header(LinkDataHeaderBytes+24, LinkData, 1), "multiple of 16"},
		{header(LinkDataBytesMax, LinkData, 1), ""},
		{header(LinkDataBytesMax+16, LinkData, 1), "data of 268435520"},
		{header(1<<32-1, LinkData, 1), "data of 4294967295"},
		{header(linkHelloBytesMin, LinkHello, 1), "of the connection"},
		{header(linkAckBytes, LinkAck, 0), "stream 0"},
	} {
		_, err := DecodeLinkHeader(tt.header)
		if tt.want == "" && err != nil {
			t.Errorf("% x: %v", tt.header, err)
		}
		if tt.want != "" && (!errors.Is(err, ErrLinkMalformed) || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("% x: got %v, want %q", tt.header, err, tt.want)
		}
	}
}

func TestLinkDecodersRefuse(t *testing.T) {
	_, frames := conversation()
	hello, welcome, open, opened := frames["m01-hello"], frames["m02-welcome"], frames["m03-open"], frames["m04-opened"]
	data, gap, ack, beat, end := frames["m06-data"], frames["m07-gap"], LinkAckFrame{Stream: 1, Position: 80, Sequence: 2, Limit: 65616}, frames["m12-beat"], frames["m13-end"]
	for _, tt := range []struct {
		frame []byte
		want  string
	}{
		{changed(hello, 16, 'X'), "BRKDLINK"},
		{changed(hello, 24, 0), "versions 0 to 1"},
		{changed(hello, 24, 2), "versions 2 to 1"},
		{changed(hello, 28, 99, 0), "dead_after_ms 99, want 0 or 100 to 600000"},
		{changed(hello, 28, 0xc1, 0x27, 9, 0), "dead_after_ms 600001"},
		{changed(hello, 48, 0), "name \"\", want 1 to 64"},
		{changed(hello, 50, '-'), "name \"-esk-1\""},
		{changed(hello, 50, 0xff), "is not plain text"},
		{changed(hello, 58, 7), "is not plain text"},
		{changed(hello, 56, 129, 0), "agent of 129 bytes, at most 128"},
		{changed(hello, 56, 14), "hello ends within agent"},
		{resum(append(hello.Append(nil), 0)), "1 bytes too many"},
		{changed(welcome, 16, 0), "version 0"},
		{changed(welcome, 18, 0), "streams_max 0"},
		{changed(welcome, 18, 65), "streams_max 65"},
		{changed(welcome, 20, 1, 0), "dead_after_ms 1,"},
		{changed(open, 16, 0), "no mode"},
		{changed(open, 16, 4), "mode 4, known are up to 3"},
		{changed(open, 17, 5), "policy 5"},
		{changed(open, 18, 5), "from 5"},
		{changed(open, 23, 1), "reserved"},
		{changed(open, 31, 0x80), "epoch 9223372036854775808"},
		{changed(open, 32, 8), "position 8, want a multiple of 16"},
		{changed(open, 39, 0x10), "position 1152921504606846976"},
		{changed(open, 50, '.'), "ring \".d\""},
		{changed(opened, 16, 8), "flags 0x8"},
		{changed(opened, 24, 5), "policy 5"},
		{changed(opened, 31, 1), "reserved"},
		{changed(opened, 48, 0, 0, 0, 0, 0, 0, 0, 0), "epoch 0, want 1"},
		{changed(opened, 56, 1), "position 1,"},
		{changed(opened, 83, '['), "ring is no JSON object"},
		{changed(opened, 84, '\''), "ring is no JSON object"},
		{changed(opened, 85, 0xff), "ring is no JSON object"},
		{changed(data, 24, 1), "position 1,"},
		{changed(data, 16, 0, 0, 0, 0, 0, 0, 0, 0), "epoch 0"},
		{changed(gap, 16, 2), "flags 0x2"},
		{changed(gap, 20, 1), "reserved"},
		{changed(gap, 48, 80, 0), "from 80 to 80"},
		{changed(gap, 48, 1), "to 4097"},
		{changed(ack, 32, 64, 0, 0), "limit 64 below position 80"},
		{changed(ack, 32, 1), "limit 65537,"},
		{changed(beat, 40, 0), "stream 0"},
		{changed(beat, 47, 1), "reserved"},
		{resum(append(beat.Append(nil), 1, 0)), "beat ends within reserved bytes"},
		{resum(append(end.Append(nil), 0)), "1 bytes too many"},
		{changed(end, 18, 129), "name of 129 bytes"},
	} {
		got, err := decodeAny(tt.frame)
		if !errors.Is(err, ErrLinkMalformed) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %+v, %v; want %q", got, err, tt.want)
		}
	}
	if _, err := DecodeLinkAck(gap.Append(nil)); !errors.Is(err, ErrLinkMalformed) || !strings.Contains(err.Error(), "want ack, got gap") {
		t.Errorf("a gap taken for an ack: %v", err)
	}
	if _, err := DecodeLinkAck(ack.Append(nil)[:39]); !errors.Is(err, ErrLinkMalformed) || !strings.Contains(err.Error(), "says 40 bytes and has 39") {
		t.Errorf("half an ack: %v", err)
	}
	if _, err := DecodeLinkData(data.Append(nil)[:47]); !errors.Is(err, ErrLinkMalformed) {
		t.Errorf("half the head of data: %v", err)
	}
}

// A hello of a later version can be read, so that it can be answered with the
// reason.
func TestHelloFromTheFuture(t *testing.T) {
	future := LinkHelloFrame{VersionMin: 2, VersionMax: 3, Name: "desk-1", Agent: "brokerd 9"}
	got, err := DecodeLinkHello(resum(append(future.Append(nil), "new things"...)))
	if err != nil || got != future {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestLinkChecksums(t *testing.T) {
	names, frames := conversation()
	for _, name := range names {
		frame := frames[name].Append(nil)
		for bit := 0; bit < len(frame)*8; bit += 7 { // each byte, each place within one
			frame[bit/8] ^= 1 << (bit % 8)
			if err := CheckLinkFrame(frame); !errors.Is(err, ErrLinkChecksum) {
				t.Fatalf("%s with bit %d turned: %v", name, bit, err)
			}
			frame[bit/8] ^= 1 << (bit % 8)
		}
	}
	if err := CheckLinkFrame(make([]byte, 15)); !errors.Is(err, ErrLinkMalformed) {
		t.Errorf("15 bytes: %v", err)
	}

	data := frames["m06-data"].Append(nil)
	head, body := data[:LinkDataHeaderBytes], data[LinkDataHeaderBytes:]
	sum := DataSum(head)
	for i := range body { // as it comes, in whatever pieces
		sum = crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), body[i:i+1])
	}
	if err := CheckDataSum(head, sum); err != nil {
		t.Error(err)
	}
	if err := CheckDataSum(head, sum^1); !errors.Is(err, ErrLinkChecksum) || !strings.Contains(err.Error(), "data frame of stream 1 says 04f07d75") {
		t.Errorf("a wrong sum: %v", err)
	}
}

func TestLinkWords(t *testing.T) {
	seen := map[string]bool{}
	add := func(word string) {
		if word == "" || seen[word] || strings.ContainsAny(word, " -") {
			t.Errorf("the word %q", word)
		}
		seen[word] = true
	}
	for k := LinkHello; k <= LinkBeat; k++ {
		add(k.String())
	}
	for m := LinkMirror; m <= LinkProduce; m++ {
		add(m.String())
	}
	for c := CodeGoodbye; c <= CodeInternal; c++ {
		add(c.String())
	}
	if got := (CodeInternal + 1).String() + ", " + (LinkProduce + 1).String() + ", " + (LinkBeat + 1).String(); got != "unknown, unknown, kind 11" {
		t.Errorf("words of what is not known: %s", got)
	}
}
