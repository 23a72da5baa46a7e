package torture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
)

// stampBytes is how long a payload is at least: lane u32, incarnation u32, number u64, flags u32, CRC32C of all
// the rest u32; behind it come random bytes.
const stampBytes = 24

// flagGivenUp marks what is filled in and then given up: nobody may ever see it.
const flagGivenUp = 1

// life is one process: a lane of the test, and how many came before it there.
type life struct{ lane, incarnation uint32 }

func (l life) key() uint64    { return uint64(l.lane)<<32 | uint64(l.incarnation) }
func (l life) String() string { return fmt.Sprintf("%d.%d", l.lane, l.incarnation) }

// stamp is what a record says about itself.
type stamp struct {
	life
	n     uint64 // the first record of a life is 1
	flags uint32
}

// fill makes buf, of at least stampBytes, the payload of s.
func (s stamp) fill(buf []byte) {
	le := binary.LittleEndian
	le.PutUint32(buf, s.lane)
	le.PutUint32(buf[4:], s.incarnation)
	le.PutUint64(buf[8:], s.n)
	le.PutUint32(buf[16:], s.flags)
	x := s.key()*0x9E3779B97F4A7C15 ^ s.n | 1
	for rest := buf[stampBytes:]; len(rest) > 0; rest = rest[min(8, len(rest)):] {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		var word [8]byte
		le.PutUint64(word[:], x)
		copy(rest, word[:])
	}
	le.PutUint32(buf[20:], checksum(buf))
}

func checksum(payload []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(uint32(len(payload)), table, payload[:20])
	return crc32.Update(sum, table, payload[stampBytes:])
}

// readStamp checks a payload.
func readStamp(payload []byte) (stamp, error) {
	if len(payload) < stampBytes {
		return stamp{}, fmt.Errorf("a payload of %d bytes", len(payload))
	}
	le := binary.LittleEndian
	s := stamp{life{le.Uint32(payload), le.Uint32(payload[4:])}, le.Uint64(payload[8:]), le.Uint32(payload[16:])}
	if want, got := le.Uint32(payload[20:]), checksum(payload); want != got {
		return s, fmt.Errorf("the payload of record %d of life %v (%d bytes) has checksum %08x, want %08x", s.n, s.life, len(payload), got, want)
	}
	if s.flags&flagGivenUp != 0 {
		return s, fmt.Errorf("record %d of life %v was given up, and is there", s.n, s.life)
	}
	if s.n == 0 {
		return s, errors.New("a record without a number")
	}
	return s, nil
}

// mix is a number of the record at a place, so that equal sums mean equal records at equal places.
func (s stamp) mix(position, sequence uint64) uint64 {
	h := uint64(14695981039346656037)
	for _, v := range []uint64{position, sequence, s.key(), s.n} {
		h = (h ^ v) * 0x9E3779B97F4A7C15
		h ^= h >> 29
	}
	return h
}

// randomBytes is the size of a record, of at most most: mostly small ones.
func randomBytes(random *rand.Rand, most int) int {
	switch {
	case random.IntN(40) == 0:
		return stampBytes + random.IntN(most-stampBytes+1)
	default:
		return stampBytes + random.IntN(min(600, most-stampBytes+1))
	}
}
