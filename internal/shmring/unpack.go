package shmring

import "encoding/binary"

// AlignBytes: every position where a part starts is a multiple of it, and so is the
// length of every part and chunk.
const AlignBytes = recordAlign

// Unpacker takes records out of chunks of ring bytes that lie in the caller's own
// memory, and believes none of them: the ring is another host's, of one producer,
// without timestamps and checksums. It is a value that may be copied.
type Unpacker struct{ geometry }

// NewUnpacker is for rings of that key and record_max, bytes, of whatever capacity.
func NewUnpacker(key uint64, recordMax uint32) Unpacker {
	return Unpacker{Config{Capacity: positionMax, RecordMax: recordMax, Key: key}.geometry()}
}

// PartBytesMax is the longest part that there may be in a chunk.
func (u *Unpacker) PartBytesMax() uint64 { return u.frameBytes(u.recordMax) }

// Part is a part of a chunk that was checked.
type Part struct {
	Bytes       int    // all of it
	Record, End bool   // a record; an end of stream; else it is neither
	Payload     []byte // of a record
	Tag         uint16
	After       Boundary
}

// Check walks a chunk that starts at a boundary and returns the one behind it. The
// error is a *ChunkError.
func (u *Unpacker) Check(chunk []byte, at Boundary) (Boundary, error) {
	end := at.boundary()
	for len(chunk) > 0 {
		if len(chunk) < recordHeaderBytes {
			return at, badChunk(end.pos, "%d bytes are left, a part has at least %d", len(chunk), recordHeaderBytes)
		}
		word, header := binary.LittleEndian.Uint64(chunk), binary.LittleEndian.Uint64(chunk[8:])
		p, reason := u.checkPart(end.pos, end.pos+uint64(len(chunk)), 0, word, header)
		if reason == "" && p.frame > u.PartBytesMax() {
			reason = "the part is longer than the longest record"
		}
		if reason != "" {
			return at, badChunk(end.pos, "%s (commit word %#x, header %#x)", reason, word, header)
		}
		end, chunk = p.after(end), chunk[p.frame:]
	}
	return end.public(), nil
}

// Take takes the first part of what Check has found good.
func (u *Unpacker) Take(chunk []byte, at Boundary) Part {
	kind := u.kindAt(binary.LittleEndian.Uint64(chunk), at.Position)
	p, _ := u.parse(kind, at.Position, binary.LittleEndian.Uint64(chunk[8:]))
	taken := Part{Bytes: int(p.frame), Record: kind == kindData, End: kind == kindEnd, After: p.after(at.boundary()).public()}
	if taken.Record {
		taken.Payload, taken.Tag = chunk[u.bodyOff:u.bodyOff+p.payload()], p.tag()
	}
	return taken
}
