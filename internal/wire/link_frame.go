package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Limits of what hosts send to each other, docs/PROTOCOL.md, "Between hosts".
const (
	LinkVersion = 1 // the only one that is spoken

	LinkHeaderBytes     = 16
	LinkDataHeaderBytes = 48      // of a data frame; ring bytes follow
	LinkControlBytesMax = 4096    // every frame but data, header included
	LinkChunkBytesMax   = 1 << 28 // ring bytes of a data frame: the largest record of the largest ring
	LinkDataBytesMax    = LinkDataHeaderBytes + LinkChunkBytesMax
	LinkStreamsMax      = 64      // of one connection at a time
	LinkPositionMax     = 1 << 60 // bytes; positions of a ring stay below it
	LinkDeadAfterMSMin  = 100     // or 0: no beats
	LinkDeadAfterMSMax  = 600_000

	linkAlign = 16 // bytes; parts of a ring start and end at multiples of it
)

// ErrLinkMalformed is returned for a frame that no correct peer sends.
var ErrLinkMalformed = errors.New("malformed frame")

// ErrLinkChecksum is returned for a frame that was damaged on its way.
var ErrLinkChecksum = errors.New("wrong checksum")

// LinkKind tells what a frame is.
type LinkKind uint8

// The kinds. Open, Opened, End, Data, Gap and Ack belong to a stream, the others
// to the connection.
const (
	LinkHello LinkKind = 1 + iota
	LinkWelcome
	LinkClose
	LinkOpen
	LinkOpened
	LinkEnd
	LinkData
	LinkGap
	LinkAck
	LinkBeat
)

// linkShape is what the header of a frame of one kind has to say: its length in
// bytes, and whether it is of a stream.
type linkShape struct {
	name               string
	bytesMin, bytesMax uint32
	stream             bool
}

var linkShapes = [...]linkShape{
	LinkHello:   {"hello", linkHelloBytesMin, LinkControlBytesMax, false},
	LinkWelcome: {"welcome", linkWelcomeBytesMin, LinkControlBytesMax, false},
	LinkClose:   {"close", linkCloseBytesMin, LinkControlBytesMax, false},
	LinkOpen:    {"open", linkOpenBytesMin, LinkControlBytesMax, true},
	LinkOpened:  {"opened", linkOpenedBytesMin, LinkControlBytesMax, true},
	LinkEnd:     {"end", linkEndBytesMin, LinkControlBytesMax, true},
	LinkData:    {"data", LinkDataHeaderBytes + linkAlign, LinkDataBytesMax, true},
	LinkGap:     {"gap", linkGapBytes, linkGapBytes, true},
	LinkAck:     {"ack", linkAckBytes, linkAckBytes, true},
	LinkBeat:    {"beat", linkBeatBytesMin, linkBeatBytesMin + LinkStreamsMax*linkSentBytes, false},
}

func (k LinkKind) known() bool { return k >= LinkHello && k <= LinkBeat }

// String gives the word that messages use.
func (k LinkKind) String() string {
	if !k.known() {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return linkShapes[k].name
}

// LinkHeader is the start of every frame. Bytes is the length of the whole
// frame, Stream is 0 for the connection, CRC is the CRC32C of the whole frame,
// taken with zeros in its own place.
type LinkHeader struct {
	Bytes  uint32
	Kind   LinkKind
	Stream uint16
	CRC    uint32
}

// Offsets in the header.
const (
	linkBytesOff    = 0  // u32
	linkKindOff     = 4  // u8
	linkZeroOff     = 5  // u8, 0
	linkStreamOff   = 6  // u16
	linkCRCOff      = 8  // u32
	linkReservedOff = 12 // u32, 0
)

// DecodeLinkHeader reads the first LinkHeaderBytes of a frame, before anything
// else of it is there: an error, which wraps ErrLinkMalformed, means that no
// frame can be found in this stream of bytes any more.
func DecodeLinkHeader(b []byte) (LinkHeader, error) {
	if len(b) < LinkHeaderBytes {
		return LinkHeader{}, fmt.Errorf("%w: a header has %d bytes, got %d", ErrLinkMalformed, LinkHeaderBytes, len(b))
	}
	le := binary.LittleEndian
	h := LinkHeader{
		Bytes:  le.Uint32(b[linkBytesOff:]),
		Kind:   LinkKind(b[linkKindOff]),
		Stream: le.Uint16(b[linkStreamOff:]),
		CRC:    le.Uint32(b[linkCRCOff:]),
	}
	if !h.Kind.known() {
		return h, refuseHeader(b, "kind %d, known are %d to %d", uint8(h.Kind), uint8(LinkHello), uint8(LinkBeat))
	}
	switch shape := linkShapes[h.Kind]; {
	case b[linkZeroOff] != 0 || le.Uint32(b[linkReservedOff:]) != 0:
		return h, refuseHeader(b, "%s: reserved bytes are not zero", h.Kind)
	case h.Bytes < shape.bytesMin || h.Bytes > shape.bytesMax:
		return h, refuseHeader(b, "%s of %d bytes, want %d to %d", h.Kind, h.Bytes, shape.bytesMin, shape.bytesMax)
	case h.Kind == LinkData && h.Bytes%linkAlign != 0:
		return h, refuseHeader(b, "data of %d bytes, want a multiple of %d", h.Bytes, linkAlign)
	case shape.stream && h.Stream == 0:
		return h, refuseHeader(b, "%s for stream 0, which is the connection", h.Kind)
	case !shape.stream && h.Stream != 0:
		return h, refuseHeader(b, "%s for stream %d, want 0: it is of the connection", h.Kind, h.Stream)
	}
	return h, nil
}

// refuseHeader quotes the header, for what is no frame is often a known other
// thing: a web browser, or TLS on a plain port.
func refuseHeader(b []byte, format string, args ...any) error {
	hint := ""
	if b[0] == 0x16 && b[1] == 3 {
		hint = "; it looks like the start of TLS, and this port is plain"
	}
	return fmt.Errorf("%w: %s (header %x%s)", ErrLinkMalformed, fmt.Sprintf(format, args...), b[:LinkHeaderBytes], hint)
}

// CheckLinkFrame tells whether a whole frame is as it was sent. The error wraps
// ErrLinkChecksum, or ErrLinkMalformed when frame is shorter than a header.
func CheckLinkFrame(frame []byte) error {
	if len(frame) < LinkHeaderBytes {
		return fmt.Errorf("%w: a header has %d bytes, got %d", ErrLinkMalformed, LinkHeaderBytes, len(frame))
	}
	return CheckDataSum(frame, sumLink(frame))
}

// CheckDataSum compares the checksum that a data frame's header holds with sum,
// which was begun by DataSum and continued over the ring bytes. The error wraps
// ErrLinkChecksum.
func CheckDataSum(header []byte, sum uint32) error {
	if got := binary.LittleEndian.Uint32(header[linkCRCOff:]); got != sum {
		return fmt.Errorf("%w: %s frame of stream %d says %08x, its bytes give %08x",
			ErrLinkChecksum, LinkKind(header[linkKindOff]), binary.LittleEndian.Uint16(header[linkStreamOff:]), got, sum)
	}
	return nil
}

// DataSum begins the checksum of a data frame with its LinkDataHeaderBytes;
// crc32.Update with the Castagnoli table continues it over the ring bytes.
func DataSum(header []byte) uint32 { return sumLink(header[:LinkDataHeaderBytes]) }

// sumLink is the CRC32C of b, the start of a frame, with zeros for its own field.
func sumLink(b []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, b[:linkCRCOff])
	sum = crc32.Update(sum, table, make([]byte, linkReservedOff-linkCRCOff))
	return crc32.Update(sum, table, b[linkReservedOff:])
}
