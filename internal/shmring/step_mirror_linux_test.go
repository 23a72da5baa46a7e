//go:build ringstep

package shmring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"brokerd/internal/stepping"
)

// stepMirrorFrame is the most that a record of a mirror takes. They differ, so that
// what lies there of a lap before does not fit.
const stepMirrorFrame = 1024

func stepMirrorFrameOf(seq uint64) uint64 { return stepMirrorFrame - 256*(seq%3) }

func stepMirrorConfig() Config {
	c := testConfig(CapacityBytesMin)
	c.Timestamps, c.Mirror = false, true
	return c
}

// stepMirrorPart is the part that the origin has at a boundary: a record that holds
// its number, of n bytes with its header, or a pad to the ring's end.
func stepMirrorPart(g *geometry, at boundary, n uint64) []byte {
	if room := g.capacity - at.pos&g.mask; n > room {
		b := make([]byte, room)
		binary.LittleEndian.PutUint64(b, g.commitWord(at.pos, kindPad))
		binary.LittleEndian.PutUint64(b[8:], room)
		return b
	}
	b := make([]byte, n)
	binary.LittleEndian.PutUint64(b, g.commitWord(at.pos, kindData))
	binary.LittleEndian.PutUint64(b[8:], n-recordHeaderBytes)
	copy(b[recordHeaderBytes:], stepPayload(stepBefore, at.seq+1, int(n-recordHeaderBytes)))
	return b
}

// stepMirrorChunk is that many records of the origin from a boundary on, or the pad
// that is there.
func stepMirrorChunk(g *geometry, at boundary, records int) (c Chunk, bytes []byte) {
	c = Chunk{Position: at.pos, Sequence: at.seq}
	for range records {
		part := stepMirrorPart(g, at, stepMirrorFrameOf(at.seq))
		if binary.LittleEndian.Uint64(part) == g.commitWord(at.pos, kindPad) {
			if bytes == nil {
				bytes = part
			}
			break
		}
		bytes = append(bytes, part...)
		at.pos, at.seq = at.pos+uint64(len(part)), at.seq+1
		c.Records++
		if at.pos&g.mask == 0 {
			break
		}
	}
	c.Bytes, c.First = len(bytes), [16]byte(bytes)
	return c, bytes
}

// stepPlace places bytes at the mirror's end.
func stepPlace(m *Mirror, bytes []byte) error {
	if _, err := m.Place(m.tail, len(bytes)); err != nil {
		return err
	}
	copyIn(m.b, m.at(m.tail)+recordAlign, bytes[recordAlign:])
	return nil
}

// stepForged is a chunk of which every 16 bytes look like a record.
func stepForged(m *Mirror, n int) (bytes []byte) {
	for pos := m.tail; pos < m.tail+uint64(n); pos += recordAlign {
		bytes = binary.LittleEndian.AppendUint64(bytes, m.commitWord(pos, kindData))
		bytes = binary.LittleEndian.AppendUint64(bytes, 0)
	}
	return bytes
}

// stepMirror is the writer of a mirror in the process that is stopped.
type stepMirror struct {
	*stepChild
	m *Mirror
}

func openStepMirror(r *Ring) (*Mirror, error) {
	data, cursors, err := r.LendProducer()
	if err != nil {
		return nil, err
	}
	return OpenMirror(data, cursors, MirrorOptions{})
}

func (c *stepMirror) open() (err error) {
	if c.m, err = openStepMirror(c.ring); err == nil {
		_, _, err = c.m.Progress()
	}
	return err
}

// write places and commits records.
func (c *stepMirror) write(records int) error {
	if _, _, err := c.m.Progress(); err != nil {
		return err
	}
	chunk, bytes := stepMirrorChunk(&c.m.geometry, c.m.End().boundary(), records)
	return errors.Join(stepPlace(c.m, bytes), c.m.Commit(chunk))
}

// shrunk: what was placed first was longer, and forged.
func (c *stepMirror) shrunk() error {
	return errors.Join(stepPlace(c.m, stepForged(c.m, 256)), c.write(1))
}

// refused: a forged chunk is taken for none of the origin's.
func (c *stepMirror) refused() error {
	forged := stepForged(c.m, 256)
	if err := stepPlace(c.m, forged); err != nil {
		return err
	}
	bad := Chunk{Position: c.m.tail, Sequence: c.m.seq, Records: 1000, Bytes: len(forged), First: [16]byte(forged)}
	if err := c.m.Commit(bad); err == nil {
		return errors.New("a forged chunk was committed")
	}
	return nil
}

// toEdge leaves 16 bytes before the ring's end.
func (c *stepMirror) toEdge() error {
	if err := c.open(); err != nil {
		return err
	}
	room := c.m.capacity - c.m.tail&c.m.mask
	if err := c.m.Jump(c.m.tail+room-2*stepMirrorFrame, 0); err != nil {
		return err
	}
	if _, _, err := c.m.Progress(); err != nil {
		return err
	}
	at := c.m.End().boundary()
	bytes := stepMirrorPart(&c.m.geometry, at, 2*stepMirrorFrame-recordAlign)
	chunk := Chunk{Position: at.pos, Sequence: at.seq, Records: 1, Bytes: len(bytes), First: [16]byte(bytes)}
	if err := errors.Join(stepPlace(c.m, bytes), c.m.Commit(chunk)); err != nil {
		return err
	}
	_, _, err := c.m.Progress()
	return err
}

func (c *stepMirror) jump(bytes, lost uint64) func() error {
	return func() error { return c.m.Jump(c.m.tail+bytes, lost) }
}

// leave tells where the mirror ends.
func (c *stepMirror) leave([]uint64) ([]uint64, error) {
	return []uint64{c.m.tail, c.m.seq}, c.m.Close()
}

func stepsOfMirror() []stepping.Op {
	op := func(name string, part mirroring, before func(c *stepMirror) error, run func(c *stepMirror) func() error) stepping.Op {
		return stepping.Op{
			Name: "mirror: " + name,
			Part: func() stepping.Part { p := part; return &p },
			Child: stepIn(func(child *stepChild) (func() error, error) {
				c := &stepMirror{stepChild: child}
				if err := before(c); err != nil {
					return nil, err
				}
				c.Said, c.After = []uint64{c.m.tail, c.m.seq}, c.leave
				return run(c), nil
			}),
		}
	}
	open := (*stepMirror).open
	writes := func(records int) func(*stepMirror) func() error {
		return func(c *stepMirror) func() error { return func() error { return c.write(records) } }
	}
	ops := []stepping.Op{
		op("place and commit", mirroring{records: 6}, open, writes(6)),
		op("place less, commit", mirroring{records: 1}, open, func(c *stepMirror) func() error { return c.shrunk }),
		op("place, refused", mirroring{}, open, func(c *stepMirror) func() error { return c.refused }),
		op("jump", mirroring{bytes: 3200}, open, func(c *stepMirror) func() error { return c.jump(3200, 7) }),
		op("jump over 16 bytes", mirroring{bytes: 16}, open, func(c *stepMirror) func() error { return c.jump(16, 1) }),
		op("jump at the ring's end", mirroring{bytes: 3200, padded: true}, (*stepMirror).toEdge, func(c *stepMirror) func() error { return c.jump(3200, 7) }),
		op("jump over laps", mirroring{bytes: 2 * stepLap}, open, func(c *stepMirror) func() error { return c.jump(2*stepLap, 100) }),
		op("progress, demotes a reader", mirroring{slow: true, records: 1}, func(c *stepMirror) error {
			return errors.Join(c.open(), c.untilHeld())
		}, func(c *stepMirror) func() error { return c.demotes }),
	}
	opened := op("opened after a death at each store", mirroring{records: 6}, func(c *stepMirror) error {
		err := errors.Join(c.open(), c.write(1))
		from := c.m.End()
		taken, cut := cutAt(c.Round, func() error { return errors.Join(stepPlace(c.m, stepForged(c.m, 256)), c.write(6)) })
		c.Last = taken+1 == c.Round
		c.m.tail, c.m.seq = from.Position, from.Sequence // as it was, for those who compare
		return errors.Join(err, cut)
	}, func(c *stepMirror) func() error { return c.open })
	opened.Rounds = true
	return slices.Concat(ops, []stepping.Op{opened})
}

// untilHeld writes until a reader leaves room for no record.
func (c *stepMirror) untilHeld() error {
	for range 4 * stepLap / stepMirrorFrame {
		if _, _, err := c.m.Progress(); err != nil {
			return err
		}
		if c.m.credit() < c.m.tail+2*stepMirrorFrame {
			return nil
		}
		if err := c.write(1); err != nil {
			return err
		}
	}
	return fmt.Errorf("nobody holds the mirror at %d", c.m.tail)
}

// demotes waits for the grant, and writes a record.
func (c *stepMirror) demotes() error {
	for range 100 {
		if _, _, err := c.m.Progress(); err != nil {
			return err
		}
		if c.m.credit() >= c.m.tail+2*stepMirrorFrame {
			return c.write(1)
		}
	}
	return fmt.Errorf("the mirror is held at %d", c.m.tail)
}
