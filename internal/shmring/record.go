package shmring

import "hash/crc32"

// A record, aligned to 16 bytes, frame = align16(16 + 8*timestamps + len + 4*checksum):
//
//	00 commit u64 = (position | kind) xor key, stored last
//	08 len u32    data: payload bytes; pad, gap, end, jump: frame bytes
//	0C aux u32    data: tag in the low 16 bits; gap: records lost in the low 24;
//	              many producers: the top 8 bits of a claim's first part name the
//	              slot whose claim ended here, ownerNone in the others
//	10 timestamp u64, CLOCK_REALTIME nanoseconds, when the ring has timestamps
//	   payload, then CRC32C u32 when the ring has checksums (checksum.go)
const (
	recordAlign       = 16
	recordHeaderBytes = 16
	timestampBytes    = 8
	checksumBytes     = 4

	kindData = 1 // a record
	kindPad  = 2 // filler up to the end of the ring
	kindGap  = 3 // a claim that died; aux counts its records
	kindEnd  = 4 // end of stream
	kindJump = 5 // in a mirror: the next part is elsewhere (jump.go)
	kindMask = recordAlign - 1

	gapRecordsMask = 1<<24 - 1
)

// geometry is what hot code needs of a Config, checked once at attach.
type geometry struct {
	capacity  uint64
	mask      uint64 // capacity-1
	chunk     uint64 // capacity / chunks
	chunks    uint64
	key       uint64
	epoch     uint64
	bodyOff   uint64 // of the payload within a record
	tailBytes uint64 // behind the payload: the checksum
	recordMax uint64
	claimMax  uint64 // bytes that a claim may cover: a record and the pad before it
	spanMax   uint64 // bytes of a span, and of a chunk of a mirror (Config.ChunkBytesMax)
	hintBytes uint64 // how far a hint may lag behind its producer's newest record

	kindMax uint64 // kinds above it are no parts here
	mirror  bool

	castagnoli *crc32.Table
}

func (c Config) geometry() geometry {
	g := geometry{
		capacity:  c.Capacity,
		mask:      c.Capacity - 1,
		chunk:     c.Capacity / chunksPerRing,
		chunks:    chunksPerRing,
		key:       c.Key,
		epoch:     c.Epoch,
		bodyOff:   recordHeaderBytes,
		recordMax: uint64(c.RecordMax),
		claimMax:  c.Capacity / 4,
		spanMax:   uint64(c.ChunkBytesMax()),
		hintBytes: hintBytesFormat,
		kindMax:   kindEnd,
		mirror:    c.Mirror,
	}
	if c.Mirror {
		g.kindMax = kindJump
	}
	if c.Timestamps {
		g.bodyOff += timestampBytes
	}
	if c.Checksum {
		g.tailBytes = checksumBytes
		g.castagnoli = crc32.MakeTable(crc32.Castagnoli)
	}
	return g
}

// frameBytes is what a payload of n bytes takes in the ring.
func (g *geometry) frameBytes(n uint64) uint64 {
	return (g.bodyOff + n + g.tailBytes + recordAlign - 1) &^ (recordAlign - 1)
}

// at is the offset in the data file of the byte at a position.
func (g *geometry) at(pos uint64) uint64 { return dataOff + pos&g.mask }

func (g *geometry) commitWord(pos, kind uint64) uint64 { return (pos | kind) ^ g.key }

// kindAt gives the kind of the part committed at pos, 0 when there is none.
func (g *geometry) kindAt(word, pos uint64) uint64 {
	v := word ^ g.key
	if v&^kindMask != pos {
		return 0
	}
	if kind := v & kindMask; kind <= g.kindMax {
		return kind
	}
	return 0
}

// part is one step of a walk through the ring. Four words are what the compiler
// keeps in registers; with more, walks would be twice as slow.
type part struct {
	kind   uint64
	frame  uint64 // its whole length; jump: to its target
	lost   uint64 // the records that a gap or jump stands for
	header uint64 // len | aux<<32, as loaded
}

// payload is the length of a data part's payload.
func (p part) payload() uint64 { return p.header & 0xFFFFFFFF }

// tag is that of a data part.
func (p part) tag() uint16 { return uint16(p.header >> 32) }

// missed says whether what a jump stands for counts as missed, not as a gap.
func (p part) missed() bool { return p.kind == kindJump && p.header>>32&jumpMissed != 0 }

// parse checks the header word (len | aux<<32) of a committed part at pos.
// ok is false when no correct producer wrote it.
func (g *geometry) parse(kind, pos, header uint64) (p part, ok bool) {
	length, aux := header&0xFFFFFFFF, header>>32
	room := g.capacity - pos&g.mask
	p.kind, p.header = kind, header
	switch kind {
	case kindData:
		p.frame = g.frameBytes(length)
		return p, length <= g.recordMax && p.frame <= room
	case kindGap:
		p.lost = aux & gapRecordsMask
	}
	p.frame = length
	return p, length >= recordHeaderBytes && length%recordAlign == 0 && length <= room
}
