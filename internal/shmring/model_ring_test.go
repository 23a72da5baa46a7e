//go:build ringmodel

package shmring

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A ring of 128 bytes with chunks of 32: four to eight records are a lap.
const (
	modelCapacity = 128
	modelChunk    = 32
)

// model payloads: 16 bytes that carry incarnation and sequence twice, 8, or none.
var modelSizes = []int{16, 0, 16, 8, 16, 0, 16, 16, 0, 16}

func modelWord(incarnation, seq uint64) uint64 { return incarnation<<32 | seq<<8 | 0x7F }

func modelPayload(incarnation, seq uint64) []byte {
	b := make([]byte, modelSizes[seq%uint64(len(modelSizes))])
	for i := 0; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], modelWord(incarnation, seq))
	}
	return b
}

type modelRing struct {
	*machine
	config   Config
	geometry geometry
	b        []byte
	cursors  [][]byte
	stays    bool   // a reader that is done keeps its gate
	sent     uint64 // records, by all producers and their successors
}

func newModelRing(slots int) *modelRing {
	c := Config{Capacity: modelCapacity, RecordMax: 16, Epoch: 1, Key: 0xA5A5_0000_1234_5678, ConsumersMax: slots}
	g := c.geometry()
	g.chunk, g.chunks, g.hintBytes = modelChunk, modelCapacity/modelChunk, 32
	r := &modelRing{machine: &machine{}, config: c, geometry: g, b: alignedBytes(dataOff + modelCapacity)}
	for range slots {
		page := alignedBytes(cursorPageBytes)
		binary.LittleEndian.PutUint64(page[cuGate:], gateNone)
		r.cursors = append(r.cursors, page)
	}
	binary.LittleEndian.PutUint32(r.b[offState:], uint32(StateLive))
	binary.LittleEndian.PutUint64(r.b[offLentMask:], 1)
	r.data = addressOf(r.b)
	r.quiet = func(off uint64) bool {
		switch off &^ 7 {
		case offAnnounce, offWakeSeq, offSpaceWaiters, offTail, offUsable, offSeqBase:
			return false
		}
		return off < headerBytes || off < producersOff && (off-consumersOff)%consumerSlotBytes&^7 != csDemoted
	}
	r.atEnd = r.allFinished
	return r
}

func (r *modelRing) allFinished() error {
	for _, t := range r.threads {
		if t.state != threadDone && t.state != threadDead && (t.began || t.starts == nil) {
			return fmt.Errorf("%s is stuck", t.name)
		}
	}
	return nil
}

func (r *modelRing) bind(slot int, generation uint32, policy Policy) {
	entry := consumersOff + slot*consumerSlotBytes
	binary.LittleEndian.PutUint32(r.b[entry+csGeneration:], generation)
	binary.LittleEndian.PutUint32(r.b[entry+csPolicy:], uint32(policy))
	mask := binary.LittleEndian.Uint64(r.b[offConsumerMask:]) | 1<<slot
	binary.LittleEndian.PutUint64(r.b[offConsumerMask:], mask)
}

func (r *modelRing) parks() {
	binary.LittleEndian.PutUint64(r.b[offParkMask:], binary.LittleEndian.Uint64(r.b[offConsumerMask:]))
}

// prefilled is a producer that has sent n records before the run begins, so that
// it starts where things get tight.
func (r *modelRing) prefilled(n uint64) *Producer {
	p := r.newProducer()
	if err := p.resume(); err != nil {
		r.broken("prefilled: %v", err)
	}
	for p.seq < n {
		payload := modelPayload(1, p.seq)
		if holder, _ := p.claim(uint64(len(payload)), 1); holder != slotNone {
			r.broken("prefilled: held at record %d", p.seq)
			break
		}
		copyIn(p.b, p.body(), payload)
		p.commit(kindData, 0, 0)
	}
	return p
}

func (r *modelRing) newProducer() *Producer {
	p := newProducer(r.b, r.cursors, r.config, ProducerOptions{})
	p.geometry = r.geometry
	return p
}

// producing finds the end of the ring and goes on from there; see sending.
func (r *modelRing) producing(incarnation, total uint64, held func(t *thread, p *Producer, slot int)) func(*thread) {
	return func(t *thread) {
		p := r.newProducer()
		if err := p.resume(); err != nil {
			r.fail("%s: %v", t.name, err)
			return
		}
		r.sending(p, incarnation, total, held)(t)
	}
}

// sending sends until the ring's sequence is total, as incarnation. held is
// what it does when the reader in a slot is in the way.
func (r *modelRing) sending(p *Producer, incarnation, total uint64, held func(t *thread, p *Producer, slot int)) func(*thread) {
	return func(t *thread) {
		for p.seq < total {
			t.at(1, p.tail, p.seq, p.limit, p.announced, p.synced, p.hinted, uint64(p.sleep[0]))
			payload := modelPayload(incarnation, p.seq)
			if slot, _ := p.claim(uint64(len(payload)), 1); slot != slotNone {
				held(t, p, slot)
				continue
			}
			copyIn(p.b, p.body(), payload)
			p.commit(kindData, 0, 0)
			r.sent = p.seq
			p.wakeSleepers()
		}
	}
}

func heldBlocks(t *thread, _ *Producer, _ int) { t.block() }

// heldDemotes demotes at once a reader whose deadline is 0.
func heldDemotes(_ *thread, p *Producer, slot int) { p.holdSlot(slot, 1) }

func heldSleeps(t *thread, p *Producer, slot int) { p.sleepOnGate(slot, sleepMax) }

// reading attaches and reads until the ring's sequence is total (or done says
// that no more will come), checking each record and every count.
func (r *modelRing) reading(slot int, generation uint32, policy Policy, from Start, total uint64, done func() bool, idle func(t *thread, c *Consumer)) func(*thread) {
	return func(t *thread) {
		c := newConsumer(r.b, r.cursors[slot], r.config, ConsumerOptions{Slot: slot, Generation: generation, Policy: policy})
		c.geometry = r.geometry
		t.asks = done
		err := c.attach(from)
		if gone := (*PositionError)(nil); errors.As(err, &gone) && gone.Oldest > from.position && from.position == 0 {
			return // the producer was a lap ahead, and the refusal is right
		}
		if err != nil {
			r.fail("%s: attach: %v", t.name, err)
			return
		}
		start, delivered, last := c.seq, uint64(0), uint64(0)
		for c.Sequence() < total {
			finished := done()
			t.at(2, c.pos, c.seq, c.gate, c.told, c.open.kind, c.open.frame, c.missed, delivered, start, last, b2u(c.gating), b2u(finished))
			var rec Record
			err := c.receive(&rec)
			if err == ErrEmpty {
				if !finished {
					c.tell()
				}
				if err := c.alive(); err != nil {
					r.fail("%s: %v", t.name, err)
					return
				}
				if finished {
					if c.Sequence() < r.sent {
						r.fail("%s: ends at record %d, %d were sent", t.name, c.Sequence(), r.sent)
					}
					break
				}
				idle(t, c)
				continue
			}
			if err != nil {
				r.fail("%s: %v", t.name, err)
				return
			}
			if !r.checkRecord(t, c, rec, &last) {
				return
			}
			delivered++
			if start+delivered+c.stats.MissedRecords+c.stats.GapRecords != c.Sequence() {
				r.fail("%s: started at %d, delivered %d, missed %d, gaps %d, but sequence %d", t.name, start, delivered, c.stats.MissedRecords, c.stats.GapRecords, c.Sequence())
			}
		}
		if policy < PolicySkip && !c.stats.Demoted && c.stats.MissedRecords != 0 {
			r.fail("%s: a lossless reader missed %d", t.name, c.stats.MissedRecords)
		}
		t.at(3)
		c.finish()
		c.tell()
		if c.gating && !r.stays {
			store64(c.page, cuGate, gateNone)
			futexWake(c.page, cuGate)
		}
	}
}

func (r *modelRing) checkRecord(t *thread, c *Consumer, rec Record, last *uint64) bool {
	size := modelSizes[rec.Sequence%uint64(len(modelSizes))]
	if len(rec.Payload) != size {
		r.fail("%s: record %d has %d bytes, want %d", t.name, rec.Sequence, len(rec.Payload), size)
		return false
	}
	for i := 0; i+8 <= size; i += 8 {
		w := load64(c.b, 0) // a step, so that a view is looked at while others run
		_ = w
		got := binary.LittleEndian.Uint64(rec.Payload[i:])
		incarnation := got >> 32
		if got != modelWord(incarnation, rec.Sequence) || incarnation < *last || incarnation == 0 {
			r.fail("%s: record %d at %d holds %x (last incarnation %d)", t.name, rec.Sequence, rec.Position, got, *last)
			return false
		}
		*last = incarnation
	}
	return true
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func idleBlocks(t *thread, _ *Consumer) { t.block() }

func idleSleeps(_ *thread, c *Consumer) { c.sleepOnce(sleepMax) }

func never() bool { return false }

func finishedOrDead(ts ...*thread) func() bool {
	return func() bool {
		for _, t := range ts {
			if t.state != threadDone && t.state != threadDead {
				return false
			}
		}
		return true
	}
}
