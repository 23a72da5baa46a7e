package shmring

import (
	"encoding/binary"
	"fmt"
)

// Chunk is what a mirror is given at a time: whole parts of its origin, side by
// side, not across the ring's end.
type Chunk struct {
	Position, Sequence uint64 // of its first part; the mirror's End
	Records            uint64 // what Sequence grows by
	Bytes              int
	First              [16]byte // its first bytes, kept out of the ring until Commit
}

// ChunkError says why a mirror took none of what its origin sent.
type ChunkError struct {
	Position uint64
	Reason   string
}

func (e *ChunkError) Error() string {
	return fmt.Sprintf("chunk refused at position %d: %s", e.Position, e.Reason)
}

func badChunk(pos uint64, format string, args ...any) error {
	return &ChunkError{Position: pos, Reason: fmt.Sprintf(format, args...)}
}

// chunkMarks is how many sync entries a chunk can owe: it is as long as two chunks
// of the ring, so that its boundaries, its end too, lie in three at most.
const chunkMarks = 3

// survey is what a walk through a placed chunk has found.
type survey struct {
	end    boundary
	newest boundary // the last record
	data   bool     // there is one
	marks  [chunkMarks]boundary
	marked int // of marks
	synced uint64
}

// mark notes a boundary that is the first in its chunk of the ring.
func (s *survey) mark(at boundary, chunk uint64) {
	if c := at.pos/chunk + 1; c > s.synced && s.marked < chunkMarks {
		s.marks[s.marked], s.synced = at, c
		s.marked++
	}
}

// inspect walks the parts of the chunk that was placed at the tail. Each word is
// loaded once; nobody else writes there, and what is checked is what readers find.
func (m *mirror) inspect(c Chunk) (s survey, err error) {
	if c.Bytes == 0 || uint64(c.Bytes) != m.placed || c.Position != m.tail || c.Sequence != m.seq {
		return s, badChunk(c.Position, "%d bytes from record %d, but %d bytes were placed at position %d from record %d", c.Bytes, c.Sequence, m.placed, m.tail, m.seq)
	}
	at, limit := boundary{m.tail, m.seq}, m.tail+m.placed
	s.synced = m.synced
	word, header := binary.LittleEndian.Uint64(c.First[:]), binary.LittleEndian.Uint64(c.First[8:])
	for at.pos < limit {
		if at.pos != m.tail {
			word, header = load64(m.b, m.at(at.pos)), load64(m.b, m.at(at.pos)+8)
		}
		p, reason := m.checkPart(at.pos, limit, m.ownerMax, word, header)
		if reason != "" {
			return s, badChunk(at.pos, "%s (commit word %#x, header %#x)", reason, word, header)
		}
		s.mark(at, m.chunk)
		if p.kind == kindData {
			s.newest, s.data = at, true
		}
		at = p.after(at)
		end, frame := m.dataRun(at, min(limit, (at.pos/m.chunk+1)*m.chunk), m.reserved)
		if end.pos > at.pos {
			s.newest, s.data = boundary{end.pos - frame, end.seq - 1}, true
			at = end
		}
	}
	if at.seq-m.seq != c.Records {
		return s, badChunk(c.Position, "it holds %d records, announced are %d", at.seq-m.seq, c.Records)
	}
	s.mark(at, m.chunk)
	s.end = at
	return s, nil
}

// checkPart says what is wrong with a part at pos of a chunk that ends at limit,
// or nothing. ownerMax is the largest prev_owner.
func (g *geometry) checkPart(pos, limit, ownerMax, word, header uint64) (p part, reason string) {
	kind := g.kindAt(word, pos)
	if kind == 0 || kind == kindJump {
		return p, "this is not where a part starts"
	}
	p, ok := g.parse(kind, pos, header)
	if kind == kindData && p.payload() > g.recordMax {
		return p, fmt.Sprintf("record of %d bytes, the ring's record_max is %d", p.payload(), g.recordMax)
	}
	if !ok {
		return p, fmt.Sprintf("the length of a part of kind %d is out of range", kind)
	}
	if p.frame > limit-pos {
		return p, "the part goes beyond the chunk"
	}
	aux := header >> 32
	owner, rest := aux>>prevOwnerShift, aux&gapRecordsMask
	switch kind {
	case kindData:
		rest >>= 16 // above the tag
	case kindGap:
		if p.lost > p.frame/recordAlign {
			return p, fmt.Sprintf("a gap of %d bytes cannot stand for %d records", p.frame, p.lost)
		}
		rest = 0
	}
	if rest != 0 || owner > ownerMax {
		return p, "a reserved bit is set"
	}
	return p, ""
}
