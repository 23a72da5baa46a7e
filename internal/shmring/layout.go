package shmring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
)

// Format constants of version 1 (provisional: docs/decisions/0001-ring-format.md).
// All numbers are little endian. Offsets are in bytes.
const (
	formatMagic   = 0x31474E49524B5242 // "BRKRING1"
	formatVersion = 1

	flagMany       = 1 << 0
	flagTimestamps = 1 << 1
	flagChecksum   = 1 << 2
	flagMirror     = 1 << 3
	flagsKnown     = flagMany | flagTimestamps | flagChecksum | flagMirror
)

// Header page of the data file. What is before offCRC is the configuration:
// written before the magic, copied and checked once when a process attaches,
// never read again.
const (
	offMagic        = 0x000 // u64, stored last
	offVersion      = 0x008 // u32
	offFlags        = 0x00C // u32
	offCapacity     = 0x010 // u64
	offRecordMax    = 0x018 // u32
	offChunk        = 0x01C // u32
	offKey          = 0x020 // u64
	offEpoch        = 0x028 // u64
	offConsumersOff = 0x030 // u32, consumer slot table
	offProducersOff = 0x034 // u32, producer slot table
	offSyncOff      = 0x038 // u32, sync table
	offConsumersMax = 0x03C // u16
	offProducersMax = 0x03E // u16
	offDataOff      = 0x040 // u64
	offCRC          = 0x0FC // u32, CRC32C of [offVersion, offCRC)

	// Written by the daemon, read by all: one cache line.
	offState        = 0x100 // u32, State
	offNoWake       = 0x104 // u32, attached producers that cannot wake sleepers
	offConsumerMask = 0x108 // u64, bound consumer slots
	offParkMask     = 0x110 // u64, of those, the ones that may sleep
	offFenceMask    = 0x118 // u64, of those, the ones without membarrier
	offProducerMask = 0x120 // u64, bound producer slots
	offLentMask     = 0x128 // u64, producer slots that were ever lent: claims and hints stay there

	// Written by producers: a group of 128 bytes each.
	offTail         = 0x180 // u64, many producers: tail word (claim.go)
	offAnnounce     = 0x200 // u64, no byte at or past it was ever written
	offUsable       = 0x280 // u64, many producers: may be claimed up to it
	offSeqBase      = 0x288 // u64, many producers: a recent sequence number
	offSpaceWaiters = 0x380 // u32, producers asleep on a gate
	offWakeSeq      = 0x400 // u32, futex of sleeping consumers

	headerBytes = 0x1000
)

// Consumer slot table, written by the daemon except for csDemoted.
const (
	consumersOff      = headerBytes
	consumerSlotBytes = 64
	csGeneration      = 0x00 // u32
	csPolicy          = 0x04 // u32, 0 = free
	csDemoteAfter     = 0x08 // u64, nanoseconds
	csDemoted         = 0x10 // u64, the generation that producers demoted
	csFlags           = 0x18 // u32, slotNoFutex
	slotNoFutex       = 1 << 0
)

// Producer slot table. The first 64 bytes are written with each claim and now
// and then for the hint, the second 64 hold the producer's statistics.
const (
	producersOff      = consumersOff + ConsumersMax*consumerSlotBytes
	producerSlotBytes = 128
	psIntent          = 0x00 // u64, many producers: the tail word that the claim was made on, intentNone = no claim
	psClaimLen        = 0x08 // u32 bytes, u32 records
	psClaimPos        = 0x10 // u64
	psClaimSeq        = 0x18 // u64
	psHint            = 0x20 // u64 position + u64 sequence of a recent record of this producer
	psGeneration      = 0x40 // u32, written by the daemon
	psFlags           = 0x44 // u32, slotNoFutex, written by the daemon
	psHeldNanos       = 0x48 // u64
	psDropped         = 0x50 // u64
	psDemotions       = 0x58 // u64
	psGapRecords      = 0x60 // u64
)

// consumerEntry and producerEntry are offsets of a slot in its table.
func consumerEntry(slot int) uint64 { return uint64(consumersOff + slot*consumerSlotBytes) }

func producerEntry(slot int) uint64 { return uint64(producersOff + slot*producerSlotBytes) }

// Sync table: one entry per chunk, a record boundary and its sequence number.
const (
	syncOff        = producersOff + producersMaxFormat*producerSlotBytes
	syncEntryBytes = 16
	chunksPerRing  = 16
	dataOff        = syncOff + 0x1000
	syncNone       = ^uint64(0)
)

// Cursor page, one file per consumer slot, written by its reader. The daemon
// resets it before it lends it.
const (
	cursorPageBytes = 4096
	cuGate          = 0x000 // u64, gateNone = not gating; its low half is a futex
	cuSleep         = 0x080 // u32, odd while asleep; never goes down
	cuPosition      = 0x100 // u64
	cuSequence      = 0x108 // u64
	cuMissed        = 0x110 // u64 records
	cuMissedBytes   = 0x118 // u64
	cuGaps          = 0x120 // u64 records
	cuDelivered     = 0x128 // u64 records
	cuChecksum      = 0x130 // u64 records
	// The cursor that a successor resumes at: the entry that the count's lowest
	// bit names. The other one is being written.
	cuCursor        = 0x140 // u64 count of stores, 0 = no cursor
	cuCursorEntries = 0x150 // two of u64 position + u64 sequence
	// 0x400..0xFFF reserved: latency histogram.
	gateNone = ^uint64(0)
)

// Limits of the format.
const (
	CapacityBytesMin = 64 << 10
	CapacityBytesMax = 1 << 31
	ConsumersMax     = 64

	producersMaxFormat = 64
	// producersManyMax leaves out slot 63: its number means "no owner".
	producersManyMax = producersMaxFormat - 1
	// RecordOverheadBytesMax is what header, timestamp and checksum may add.
	RecordOverheadBytesMax = 64
	// positionMax retires a ring long before a position could overflow.
	positionMax = uint64(1) << 60
	// hintBytesFormat: a producer renews its hint when it is that far behind.
	hintBytesFormat = 4096
)

// State says whether a ring still lives; it is a word of the header page, so
// that processes learn of a removal from the ring itself.
type State uint32

// The states of a ring.
const (
	StateLive    State = 1
	StateRemoved State = 2
	StateCorrupt State = 3
)

// String gives the word that stats and messages use.
func (s State) String() string {
	switch s {
	case StateLive:
		return "live"
	case StateRemoved:
		return "removed"
	case StateCorrupt:
		return "corrupt"
	}
	return fmt.Sprintf("state(%d)", uint32(s))
}

// Config is a ring's fixed geometry.
type Config struct {
	Capacity     uint64 // bytes, a power of two
	RecordMax    uint32 // payload bytes
	Epoch        uint64 // > 0; tells a re-created ring from its predecessor
	Key          uint64 // guards against coincidence, no secret; 0: Create draws one
	ConsumersMax int    // consumer slots, 1 to ConsumersMax
	Many         bool   // several producers, up to ProducersMax
	Timestamps   bool   // publish time in every record
	Checksum     bool   // CRC32C in every record
	Mirror       bool   // of another ring: written by a Mirror only
}

// Validate says whether a ring of this geometry can exist.
func (c Config) Validate() error {
	if bits.OnesCount64(c.Capacity) != 1 || c.Capacity < CapacityBytesMin || c.Capacity > CapacityBytesMax {
		return fmt.Errorf("capacity %d: want a power of two from %d to %d", c.Capacity, uint64(CapacityBytesMin), uint64(CapacityBytesMax))
	}
	if most := RecordMaxFor(c.Capacity); c.RecordMax == 0 || uint64(c.RecordMax) > most {
		return fmt.Errorf("record_max %d: want 1 to %d for a capacity of %d", c.RecordMax, most, c.Capacity)
	}
	if c.ConsumersMax < 1 || c.ConsumersMax > ConsumersMax {
		return fmt.Errorf("consumers_max %d: want 1 to %d", c.ConsumersMax, ConsumersMax)
	}
	if c.Epoch == 0 || c.Epoch >= 1<<63 {
		return fmt.Errorf("epoch %d: want 1 to 2^63-1", c.Epoch)
	}
	if c.Key != 0 && c.Key>>60 == 0 {
		return errors.New("key: the top four bits must not all be zero")
	}
	return nil
}

// ProducersMax is how many producer slots the ring lends.
func (c Config) ProducersMax() int {
	if c.Many {
		return producersManyMax
	}
	return 1
}

// RecordMaxFor is the largest payload, in bytes, that a ring of the given
// capacity can be made to take: an eighth of it less the overhead of a record.
func RecordMaxFor(capacity uint64) uint64 { return capacity/8 - RecordOverheadBytesMax }

// ChunkBytesMax is the most that a span, and a chunk of a mirror, may have: an
// eighth of the ring, which holds any single part. It bounds the walk to the end
// of a mirror whose writer was killed before it had marked the way (mirror.go).
func (c Config) ChunkBytesMax() int { return int(c.Capacity / 8) }

// MemoryBytes is what all files of the ring take together.
func (c Config) MemoryBytes() uint64 {
	return c.dataBytes() + uint64(c.ConsumersMax)*cursorPageBytes
}

func (c Config) dataBytes() uint64 { return dataOff + c.Capacity }

func (c Config) flags() (f uint32) {
	if c.Many {
		f |= flagMany
	}
	if c.Timestamps {
		f |= flagTimestamps
	}
	if c.Checksum {
		f |= flagChecksum
	}
	if c.Mirror {
		f |= flagMirror
	}
	return f
}

// encodeHeader writes the configuration into the header page, all but the magic.
func (c Config) encodeHeader(b []byte) {
	le := binary.LittleEndian
	le.PutUint32(b[offVersion:], formatVersion)
	le.PutUint32(b[offFlags:], c.flags())
	le.PutUint64(b[offCapacity:], c.Capacity)
	le.PutUint32(b[offRecordMax:], c.RecordMax)
	le.PutUint32(b[offChunk:], uint32(c.Capacity/chunksPerRing))
	le.PutUint64(b[offKey:], c.Key)
	le.PutUint64(b[offEpoch:], c.Epoch)
	le.PutUint32(b[offConsumersOff:], consumersOff)
	le.PutUint32(b[offProducersOff:], producersOff)
	le.PutUint32(b[offSyncOff:], syncOff)
	le.PutUint16(b[offConsumersMax:], uint16(c.ConsumersMax))
	le.PutUint16(b[offProducersMax:], producersMaxFormat)
	le.PutUint64(b[offDataOff:], dataOff)
	le.PutUint32(b[offCRC:], headerCRC(b))
}

func headerCRC(b []byte) uint32 {
	return crc32.Checksum(b[offVersion:offCRC], crc32.MakeTable(crc32.Castagnoli))
}

// DecodeHeader checks the header page of a data file of fileBytes bytes, in the
// order magic, version, checksum, values, and returns its configuration. header
// is a private copy: shared memory is copied first, so that no later write of a
// peer changes what was checked. Errors: ErrNotRing, ErrVersion, ErrCorrupt.
func DecodeHeader(header []byte, fileBytes uint64) (Config, error) {
	le := binary.LittleEndian
	if len(header) < headerBytes || le.Uint64(header[offMagic:]) != formatMagic {
		return Config{}, fmt.Errorf("%w: no ring magic in the first %d bytes", ErrNotRing, headerBytes)
	}
	if v := le.Uint32(header[offVersion:]); v != formatVersion {
		return Config{}, fmt.Errorf("%w: the file has version %d, this program reads version %d; use the brokerd that made it or remove the ring", ErrVersion, v, formatVersion)
	}
	if got, want := le.Uint32(header[offCRC:]), headerCRC(header); got != want {
		return Config{}, fmt.Errorf("%w: header checksum %08x, computed %08x", ErrCorrupt, got, want)
	}
	flags := le.Uint32(header[offFlags:])
	c := Config{
		Capacity:     le.Uint64(header[offCapacity:]),
		RecordMax:    le.Uint32(header[offRecordMax:]),
		Epoch:        le.Uint64(header[offEpoch:]),
		Key:          le.Uint64(header[offKey:]),
		ConsumersMax: int(le.Uint16(header[offConsumersMax:])),
		Many:         flags&flagMany != 0,
		Timestamps:   flags&flagTimestamps != 0,
		Checksum:     flags&flagChecksum != 0,
		Mirror:       flags&flagMirror != 0,
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("%w: header: %w", ErrCorrupt, err)
	}
	check := make([]byte, headerBytes)
	c.encodeHeader(check)
	if flags&^flagsKnown != 0 || c.Key == 0 || string(check[offVersion:offCRC]) != string(header[offVersion:offCRC]) {
		return Config{}, fmt.Errorf("%w: header holds values that version %d does not define", ErrCorrupt, formatVersion)
	}
	if fileBytes != c.dataBytes() {
		return Config{}, fmt.Errorf("%w: the data file has %d bytes, its header says %d", ErrCorrupt, fileBytes, c.dataBytes())
	}
	return c, nil
}
