package shmring

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzMirrorChunk sends random and changed chunks: each is either committed, and
// a reader sees exactly what a model of the format says, or refused, and leaves
// nothing; and the next good chunk works.
func FuzzMirrorChunk(f *testing.F) {
	f.Add([]byte{}, uint64(3), uint16(0), false)
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, uint64(3), uint16(32), true)
	f.Add(bytes.Repeat([]byte{0}, 64), uint64(1), uint16(0), false)
	f.Fuzz(func(t *testing.T, change []byte, records uint64, at uint16, relative bool) {
		h, m := mirrorOf(t, chunkConfig(at&1 == 1), boundary{4096, 5}, MirrorOptions{})
		reader := h.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest()})
		if _, _, err := m.Progress(); err != nil {
			t.Fatal(err)
		}
		c, body := goodChunk(m)
		whole := append(append([]byte{}, c.First[:]...), body...)
		for i, v := range change {
			if off := int(at) + i; off < len(whole) && relative {
				whole[off] ^= v
			} else if off < len(whole) {
				whole[off] = v
			}
		}
		c.Records = records
		copy(c.First[:], whole)
		err := offer(m, c, whole[16:])
		want, good := modelOf(m, 4096, whole)
		if (err == nil) != (good && uint64(len(want)) == records) {
			t.Fatalf("%v, the model says %v, %d records", err, good, len(want))
		}
		if err == nil {
			for _, payload := range want {
				r, err := reader.TryReceive()
				for payload == nil && err == nil {
					t.Fatalf("a gap came as a record: %+v", r)
				}
				if payload != nil && (err != nil || !bytes.Equal(r.Payload, payload)) {
					t.Fatalf("%q, want %q: %v", r.Payload, payload, err)
				}
				if payload == nil {
					break
				}
			}
		} else {
			wantEmpty(t, reader)
			wantClean(t, h, m)
		}
		if _, _, err := m.Progress(); err != nil {
			t.Fatal(err)
		}
		if c, body := goodChunk(m); offer(m, c, body) != nil {
			t.Fatal("the next good chunk is refused")
		}
	})
}

// modelOf reads a chunk at a position as the page says; nil is a record in a gap.
func modelOf(m *Mirror, pos uint64, b []byte) (payloads [][]byte, good bool) {
	le := binary.LittleEndian
	ownerMax := uint32(0)
	if m.config.Many {
		ownerMax = 63
	}
	for len(b) > 0 {
		v := le.Uint64(b) ^ m.key
		length, aux := le.Uint32(b[8:]), le.Uint32(b[12:])
		if v&^15 != pos || aux>>24 > ownerMax {
			return nil, false
		}
		frame := uint64(length)
		switch v & 15 {
		case 1:
			frame = (16 + uint64(length) + 15) / 16 * 16
			if length > m.config.RecordMax || aux>>16&0xFF != 0 || frame > uint64(len(b)) {
				return nil, false
			}
			payloads = append(payloads, append([]byte{}, b[16:16+length]...))
		case 3:
			if uint64(aux&0xFFFFFF) > frame/16 {
				return nil, false
			}
			payloads = append(payloads, make([][]byte, aux&0xFFFFFF)...)
		case 2, 4:
			if aux&0xFFFFFF != 0 {
				return nil, false
			}
		default:
			return nil, false
		}
		if frame < 16 || frame%16 != 0 || frame > uint64(len(b)) {
			return nil, false
		}
		pos, b = pos+frame, b[frame:]
	}
	return payloads, true
}
