package shmring

import (
	"encoding/binary"
	"hash/crc32"
)

// The checksum of a record is the CRC32C (Castagnoli) of its position, eight
// bytes little endian, and then of its bytes from offset 8, len and aux, to the
// end of the payload. It follows the payload, unaligned. The position is in it
// so that the right bytes in the wrong place do not pass.

func (g *geometry) checksumSeed(pos uint64) uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], pos)
	return crc32.Update(0, g.castagnoli, b[:])
}

// putChecksum computes and stores the checksum of the open claim, whose record
// starts at offset off and will have this header.
func (p *producer) putChecksum(off, header uint64) {
	put64(p.b, off+8, header)
	end := off + p.bodyOff + p.payload
	sum := crc32.Update(p.checksumSeed(p.tail), p.castagnoli, p.b[off+8:end])
	put32(p.b, end, sum)
}

// checksumOf computes the checksum of a record as a reader holds it: its header
// and timestamp as loaded, its payload perhaps a copy. The copy escapes nothing:
// 16 bytes on the stack.
func (g *geometry) checksumOf(p part, r *Record) uint32 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], p.header)
	binary.LittleEndian.PutUint64(b[8:], uint64(r.Timestamp))
	sum := crc32.Update(g.checksumSeed(r.Position), g.castagnoli, b[:g.bodyOff-8])
	return crc32.Update(sum, g.castagnoli, r.Payload)
}

// storedChecksum is the one that follows the payload of the record at pos.
func (r *ring) storedChecksum(pos, payload uint64) uint32 {
	off := r.at(pos) + r.bodyOff + payload
	return binary.LittleEndian.Uint32(r.b[off:])
}
