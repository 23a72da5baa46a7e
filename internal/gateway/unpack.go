package gateway

import (
	"encoding/binary"
	"fmt"

	"brokerd/internal/shmring"
)

// The parts of a ring, as docs/MEMORY_LAYOUT.md has them. Those that a remote
// producer sends come from a private ring: of one producer, without timestamps
// and checksums, with the key and the record_max that it was told.
const (
	recordAlign = 16
	kindData    = 1
	kindPad     = 2
	kindGap     = 3
	kindEnd     = 4

	gapRecordsMask = 1<<24 - 1
	tagMask        = 1<<16 - 1
)

// unpacker finds the records in what a remote producer sends, and believes none
// of it.
type unpacker struct {
	key       uint64
	recordMax uint32
}

func newUnpacker(c shmring.Config) unpacker { return unpacker{c.Key, c.RecordMax} }

// frameBytesMax is the longest part that there may be.
func (u unpacker) frameBytesMax() uint64 { return frameBytes(u.recordMax) }

func frameBytes(payload uint32) uint64 {
	return (recordAlign + uint64(payload) + recordAlign - 1) &^ (recordAlign - 1)
}

// stretch is a run of parts that were found good, and where it starts.
type stretch struct {
	bytes []byte
	at    shmring.Boundary
}

// unpacked is one part.
type unpacked struct {
	kind    uint64
	bytes   uint64 // all of it
	payload []byte // of a record
	tag     uint16
	after   shmring.Boundary
}

// check walks a chunk and returns the boundary behind it. The error is a
// *shmring.ChunkError.
func (u unpacker) check(chunk []byte, at shmring.Boundary) (shmring.Boundary, error) {
	for len(chunk) > 0 {
		word, header := binary.LittleEndian.Uint64(chunk), chunk[8:recordAlign]
		length, aux := binary.LittleEndian.Uint32(header), binary.LittleEndian.Uint32(header[4:])
		kind := (word ^ u.key) - at.Position
		if kind < kindData || kind > kindEnd {
			return at, bad(at, "is not where a part starts")
		}
		bytes := uint64(length)
		if kind == kindData {
			if length > u.recordMax {
				return at, bad(at, "record of %d bytes, the ring's record_max is %d", length, u.recordMax)
			}
			bytes = frameBytes(length)
		}
		switch {
		case bytes < recordAlign || bytes%recordAlign != 0 || bytes > u.frameBytesMax():
			return at, bad(at, "part of kind %d with %d bytes", kind, bytes)
		case bytes > uint64(len(chunk)):
			return at, bad(at, "part of %d bytes, the chunk ends after %d", bytes, len(chunk))
		case kind == kindData && aux&^tagMask != 0, kind == kindGap && aux&^gapRecordsMask != 0,
			kind == kindPad && aux != 0, kind == kindEnd && aux != 0:
			return at, bad(at, "part of kind %d with the word %#x beside its length", kind, aux)
		}
		at = u.part(chunk, at).after
		chunk = chunk[bytes:]
	}
	return at, nil
}

func bad(at shmring.Boundary, format string, args ...any) error {
	return &shmring.ChunkError{Position: at.Position, Reason: fmt.Sprintf(format, args...)}
}

// part takes the first part of what check has found good.
func (u unpacker) part(b []byte, at shmring.Boundary) unpacked {
	length, aux := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
	p := unpacked{kind: (binary.LittleEndian.Uint64(b) ^ u.key) - at.Position, bytes: uint64(length)}
	records := uint64(0)
	switch p.kind {
	case kindData:
		p.bytes, records = frameBytes(length), 1
		p.payload, p.tag = b[recordAlign:recordAlign+length], uint16(aux)
	case kindGap:
		records = uint64(aux)
	}
	p.after = shmring.Boundary{Position: at.Position + p.bytes, Sequence: at.Sequence + records}
	return p
}
