//go:build ringmodel

package shmring

import (
	"encoding/binary"
	"fmt"
	"testing"
)

// mirrorStep is what the origin sends at a sequence number: so many records in one
// chunk, or a jump.
type mirrorStep struct {
	records  int
	to, lost uint64
}

// A lap is 128 bytes. The records at 0 and 1 are a chunk, then records are lost and
// the next chunk is more than a lap on; it ends 16 bytes before the ring's end, so
// that the jump behind it takes a pad.
var mirrorSteps = map[uint64]mirrorStep{
	0: {records: 2},
	1: {records: 1}, // for a run that begins there
	2: {to: 320, lost: 3},
	5: {records: 2},
	7: {to: 432, lost: 1},
	8: {records: 1},
}

// Where each step of the plan is, when nothing was cut short.
var mirrorPlaces = map[uint64]uint64{0: 0, 1: 32, 2: 48, 5: 320, 7: 368, 8: 432}

func newMirrorModel(start uint64) *modelRing {
	r := newModelRing(1)
	r.config.Mirror = true
	g := r.config.geometry()
	g.chunk, g.chunks, g.hintBytes, g.spanMax = modelChunk, modelCapacity/modelChunk, 32, 64
	r.geometry = g
	r.daemon().formatWords(boundary{mirrorPlaces[start], start})
	return r
}

func (r *modelRing) newMirror() *mirror {
	m := newMirror(r.b, r.cursors, r.config, MirrorOptions{})
	m.geometry, m.window, m.need = r.geometry, 80, JumpBytesMax
	return &m
}

// mirroring is a writer of the mirror as the given incarnation, from wherever the
// last one ended.
func (r *modelRing) mirroring(incarnation, total uint64) func(*thread) {
	return func(t *thread) {
		m := r.newMirror()
		if err := m.recover(); err != nil {
			r.fail("%s: %v", t.name, err)
			return
		}
		for m.seq < total {
			t.at(40, m.tail, m.seq, m.limit, m.announced, m.synced, m.hinted, m.dirty, m.placed)
			step := mirrorSteps[m.seq]
			chunk := r.mirrorChunk(m, incarnation, step.records)
			m.grant()
			if m.credit()-m.tail < max(uint64(len(chunk)), JumpBytesMax) {
				t.block()
				continue
			}
			var err error
			if step.records == 0 {
				err = m.jump(step.to, step.lost)
			} else {
				err = r.commitChunk(m, chunk, uint64(step.records))
			}
			if err != nil {
				r.fail("%s: %v", t.name, err)
				return
			}
			r.sent = m.seq
			m.wakeSleepers()
		}
	}
}

func (r *modelRing) mirrorChunk(m *mirror, incarnation uint64, records int) (chunk []byte) {
	for i := range uint64(records) {
		payload := modelPayload(incarnation, m.seq+i)
		head := binary.LittleEndian.AppendUint64(nil, m.commitWord(m.tail+uint64(len(chunk)), kindData))
		head = binary.LittleEndian.AppendUint64(head, uint64(len(payload)))
		chunk = append(append(chunk, head...), payload...)
	}
	return chunk
}

func (r *modelRing) commitChunk(m *mirror, chunk []byte, records uint64) error {
	off, err := m.place(m.tail, uint64(len(chunk)))
	if err != nil {
		return err
	}
	copyIn(m.b, off+recordAlign, chunk[recordAlign:])
	return m.commit(Chunk{Position: m.tail, Sequence: m.seq, Records: records, Bytes: len(chunk), First: [16]byte(chunk)})
}

// A mirror's writer dies at any step; its successor goes on behind what was
// committed. Readers of each policy see every record once, none that was not
// committed, and count what the jumps stand for.
func TestModelMirror(t *testing.T) {
	for _, s := range []struct {
		name        string
		first, last uint64 // sequence numbers
		policy      Policy
		from        Start
		kills       int
		buffered    bool
	}{
		{"chunk, jump past a lap, block", 0, 5, PolicyBlock, FromOldest(), 0, false},
		{"chunk, jump past a lap, chunk, block", 0, 7, PolicyBlock, FromOldest(), 0, false},
		{"chunk, jump past a lap, chunk, skip", 0, 7, PolicySkip, FromOldest(), 0, false},
		{"record, jump past a lap, chunk, latest", 1, 7, PolicyLatest, FromOldest(), 0, false},
		{"record, jump past a lap, chunk, demote", 1, 7, PolicyDemote, FromOldest(), 0, false},
		{"jump past a lap, chunk, from latest", 2, 7, PolicySkip, FromLatest(), 0, false},
		{"chunk, jump behind a pad, chunk, block", 5, 9, PolicyBlock, FromOldest(), 0, false},
		{"jump behind a pad, chunk, from latest", 7, 9, PolicySkip, FromLatest(), 0, false},
		{"chunk, store buffers, block", 0, 2, PolicyBlock, FromOldest(), 0, true},
		{"chunk, store buffers, skip", 0, 2, PolicySkip, FromLatest(), 0, true},
		{"jump behind a pad, store buffers, block", 7, 8, PolicyBlock, FromOldest(), 0, true},
		{"writer dies, chunk, block", 0, 2, PolicyBlock, FromOldest(), 1, false},
		{"writer dies, record, jump, chunk, block", 1, 7, PolicyBlock, FromOldest(), 1, false},
		{"writer dies, record, jump, chunk, skip", 1, 7, PolicySkip, FromOldest(), 1, false},
		{"writer dies, jump behind a pad, chunk, block", 7, 9, PolicyBlock, FromOldest(), 1, false},
		{"writer dies twice, chunk, block", 0, 2, PolicyBlock, FromOldest(), 2, false},
	} {
		scenario(t, "mirror: "+s.name, func() *machine {
			r := newMirrorModel(s.first)
			r.buffered, r.killsLeft = s.buffered, s.kills
			r.bind(0, 1, s.policy)
			life := r.spawn("M", s.kills > 0, nil, r.mirroring(1, s.last))
			life.remains = func() uint64 { return r.sent }
			lives := []*thread{life}
			for i := range s.kills {
				dead := lives[i]
				lives = append(lives, r.spawn(fmt.Sprintf("M%d", i+2), i+1 < s.kills,
					func() bool { return dead.state == threadDead }, r.mirroring(uint64(i)+2, s.last)))
			}
			over := func() bool {
				for _, l := range lives {
					if l.state == threadDone {
						return true
					}
				}
				return false
			}
			r.spawn("R", false, nil, r.reading(0, 1, s.policy, s.from, s.last, over, idleBlocks))
			return r.machine
		})
	}
}
