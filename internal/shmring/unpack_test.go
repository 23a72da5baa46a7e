package shmring

import (
	"encoding/binary"
	"errors"
	"testing"
)

const unpackKey = 0xA5A5_0000_1234_5678

// rawPart builds a part at a position.
func rawPart(at, kind uint64, length, aux uint32, bytes int) []byte {
	b := make([]byte, bytes)
	binary.LittleEndian.PutUint64(b, (at|kind)^unpackKey)
	binary.LittleEndian.PutUint32(b[8:], length)
	binary.LittleEndian.PutUint32(b[12:], aux)
	return b
}

func TestUnpack(t *testing.T) {
	u := NewUnpacker(unpackKey, 100)
	join := func(parts ...[]byte) (all []byte) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	good := join(rawPart(64, kindData, 100, 7, 128), rawPart(192, kindPad, 32, 0, 32), rawPart(224, kindGap, 16, 1, 16),
		rawPart(240, kindEnd, 16, 0, 16), rawPart(256, kindData, 0, 0, 16))
	end, err := u.Check(good, Boundary{Position: 64, Sequence: 10})
	if want := (Boundary{Position: 272, Sequence: 13}); err != nil || end != want {
		t.Errorf("a good chunk ends at %+v, %v, want %+v", end, err, want)
	}
	for name, chunk := range map[string][]byte{
		"another position":   rawPart(80, kindData, 100, 0, 128),
		"kind 0":             rawPart(64, 0, 16, 0, 16),
		"kind 5":             rawPart(64, 5, 32, 0, 32),
		"record too long":    rawPart(64, kindData, 101, 0, 128),
		"chunk too short":    rawPart(64, kindData, 100, 0, 112),
		"owner in a record":  rawPart(64, kindData, 100, 1<<24, 128),
		"word beside a pad":  rawPart(64, kindPad, 32, 1, 32),
		"word beside an end": rawPart(64, kindEnd, 16, 1, 16),
		"gap with an owner":  rawPart(64, kindGap, 16, 1<<24, 16),
		"gap that lies":      rawPart(64, kindGap, 16, 2, 16),
		"cut short":          rawPart(64, kindPad, 16, 0, 24),
		"pad of 0":           rawPart(64, kindPad, 0, 0, 16),
		"pad of 24":          rawPart(64, kindPad, 24, 0, 32),
		"pad too long":       rawPart(64, kindPad, 144, 0, 144),
		"second part":        join(rawPart(64, kindData, 100, 7, 128), make([]byte, 16)),
	} {
		var bad *ChunkError
		if end, err := u.Check(chunk, Boundary{Position: 64}); !errors.As(err, &bad) {
			t.Errorf("%s: taken, ends at %+v (%v)", name, end, err)
		}
	}
}

// FuzzUnpack: whatever a remote producer sends is refused, or leads to parts that
// cover it exactly.
func FuzzUnpack(f *testing.F) {
	f.Add(rawPart(64, kindData, 100, 7, 128))
	f.Add(append(rawPart(64, kindPad, 32, 0, 32), rawPart(96, kindEnd, 16, 0, 16)...))
	f.Add(rawPart(64, kindGap, 16, 1, 16))
	u := NewUnpacker(unpackKey, 100)
	f.Fuzz(func(t *testing.T, chunk []byte) {
		start := Boundary{Position: 64, Sequence: 4}
		end, err := u.Check(chunk, start)
		if err != nil {
			return
		}
		at := start
		for rest := chunk; len(rest) > 0; {
			p := u.Take(rest, at)
			if p.Bytes == 0 || p.Bytes > len(rest) || len(p.Payload) > 100 || p.Record != (p.Payload != nil) || p.Record && p.End {
				t.Fatalf("part at %+v: %+v", at, p)
			}
			rest, at = rest[p.Bytes:], p.After
		}
		if at != end || at.Position != start.Position+uint64(len(chunk)) {
			t.Fatalf("parts end at %+v, checked to %+v", at, end)
		}
	})
}
