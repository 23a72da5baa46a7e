//go:build ringmodel

package shmring

import (
	"encoding/binary"
	"fmt"
	"testing"
)

// manyModel is a ring of several producers: what each has committed, and how many
// records became gaps.
type manyModel struct {
	*modelRing
	before    uint64   // records that producer 0 sent before the run
	records   []uint64 // each producer is to send
	committed []uint64 // each has sent
	producers []*thread
	repairs   [][]*thread // of each producer: one, and one that follows it

	quietWithHints func(off uint64) bool
	repairerDies   bool
}

func newManyModel(readers int, records ...uint64) *manyModel {
	r := newModelRing(readers)
	r.config.Many = true
	r.geometry.claimMax = 48
	r.geometry.hintBytes = 1 << 20
	m := &manyModel{modelRing: r, records: records, committed: make([]uint64, len(records)), quietWithHints: r.quiet}
	r.quiet = func(off uint64) bool {
		return m.quietWithHints(off) || off == offSeqBase || off >= consumersOff && off < producersOff
	}
	binary.LittleEndian.PutUint64(r.b[offTail:], tailWord(0, ownerNone, 0))
	binary.LittleEndian.PutUint64(r.b[offLentMask:], 1<<len(records)-1)
	for slot := range records {
		binary.LittleEndian.PutUint64(r.b[producerEntry(slot)+psIntent:], intentNone)
	}
	return m
}

// sizeOf varies the frames: 32 bytes, and 16 for each third record of producer 1
// and later, which makes pads.
func (m *manyModel) sizeOf(producer int, i uint64) int {
	if producer > 0 && i%3 == 0 {
		return 0
	}
	return 16
}

func (m *manyModel) payload(producer int, i uint64) []byte {
	b := make([]byte, m.sizeOf(producer, i))
	for off := 0; off < len(b); off += 8 {
		binary.LittleEndian.PutUint64(b[off:], uint64(producer+1)<<32|i)
	}
	return b
}

func (m *manyModel) producerIn(slot int) *Producer {
	p := newProducer(m.b, m.cursors, m.config, ProducerOptions{Slot: slot})
	p.geometry = m.geometry
	return p
}

// prefill sends n records of producer 0 before the run begins.
func (m *manyModel) prefill(n uint64) {
	p := m.producerIn(0)
	for i := range n {
		b := m.payload(0, i)
		if holder, err := p.claim(uint64(len(b)), 1); holder != slotNone || err != nil {
			m.broken("prefill: held by %d, %v", holder, err)
			return
		}
		copyIn(p.b, p.body(), b)
		p.commit(kindData, 0, 0)
	}
	m.before, m.committed[0] = n, n
	m.records[0] += n
}

// produce adds the producers' threads, and for those that may die a repairer.
func (m *manyModel) produce(kills int) {
	m.killsLeft = kills
	for slot := range m.records {
		p := m.spawn(fmt.Sprintf("P%d", slot), kills > 0, nil, m.sendingAs(slot))
		p.remains = func() uint64 { return m.committed[slot] }
		m.producers = append(m.producers, p)
	}
	for slot, p := range m.producers {
		if kills > 0 {
			first := m.spawn(fmt.Sprintf("D%d", slot), m.repairerDies, func() bool { return p.state == threadDead }, m.repairing(slot))
			second := m.spawn(fmt.Sprintf("E%d", slot), false, func() bool { return first.state == threadDead }, m.repairing(slot))
			m.repairs = append(m.repairs, []*thread{first, second})
		}
	}
}

func (m *manyModel) sendingAs(slot int) func(*thread) {
	return func(t *thread) {
		p := m.producerIn(slot)
		for m.committed[slot] < m.records[slot] {
			b := m.payload(slot, m.committed[slot])
			if !m.claiming(t, p, uint64(len(b)), m.committed[slot]) {
				return
			}
			copyIn(p.b, p.body(), b)
			p.commit(kindData, 0, 0)
			m.committed[slot]++
			p.wakeSleepers()
		}
		t.at(13)
	}
}

// claiming is claimMany, with a note of the local state between its steps.
func (m *manyModel) claiming(t *thread, p *Producer, n, sent uint64) bool {
	for {
		t.at(10, sent, p.limit, p.hinted, uint64(p.sleep[0]))
		switch p.tryClaim(n, 1) {
		case claimWon:
			t.at(11, sent, p.limit, p.hinted, uint64(p.sleep[0]), p.tail, p.seq, p.prevOwner, p.pad, p.frame)
			return true
		case claimBad:
			m.fail("%s: the tail word is bad at %d", t.name, p.tail)
			return false
		case claimShort:
			t.at(12, sent, p.limit, p.hinted, uint64(p.sleep[0]), p.tail, p.need)
			if p.raiseMany(p.need) != slotNone {
				t.block()
			}
		}
	}
}

func (m *manyModel) repairing(slot int) func(*thread) {
	return func(t *thread) {
		if _, err := m.daemon().repair(slot); err != nil {
			m.fail("%s: %v", t.name, err)
		}
		t.at(14)
	}
}

// unbinding adds the daemon taking a producer's slot back, at any moment.
func (m *manyModel) unbinding(slot int) {
	binary.LittleEndian.PutUint64(m.b[offProducerMask:], 1<<len(m.records)-1)
	quiet := m.quiet
	m.quiet = func(off uint64) bool { return quiet(off) && off != offProducerMask && off != offNoWake }
	m.spawn("D", false, nil, func(*thread) {
		if err := m.daemon().UnbindProducer(slot); err != nil {
			m.fail("D: %v", err)
		}
	})
}

// over says that no record will come any more.
func (m *manyModel) over() bool {
	for slot, p := range m.producers {
		if p.state == threadDone || p.state == threadDead && (m.repairs[slot][0].state == threadDone || m.repairs[slot][1].state == threadDone) {
			continue
		}
		return false
	}
	return true
}

// readingAll reads until all producers are done or repaired. A lossless reader
// from the beginning sees each committed record of each producer once, in order.
func (m *manyModel) readingAll(slot int, policy Policy, from Start) func(*thread) {
	return func(t *thread) {
		c := newConsumer(m.b, m.cursors[slot], m.config, ConsumerOptions{Slot: slot, Generation: 1, Policy: policy})
		c.geometry = m.geometry
		t.asks = m.over
		if err := c.attach(from); err != nil {
			m.fail("%s: attach: %v", t.name, err)
			return
		}
		start, delivered, empty := c.seq, uint64(0), uint64(0)
		next := make([]uint64, len(m.records)) // the lowest index not seen
		next[0] = min(start, m.before)         // the first records are its
		for {
			over := m.over()
			t.at(20, append(next, c.pos, c.seq, c.gate, c.told, c.open.kind, c.open.frame, c.missed, delivered, empty, start, b2u(over))...)
			var rec Record
			err := c.receive(&rec)
			switch {
			case err == ErrEmpty && over:
				m.checkReader(t, c, next, start, delivered, empty)
				return
			case err == ErrEmpty:
				c.tell()
				t.block()
				continue
			case err != nil:
				m.fail("%s: %v", t.name, err)
				return
			}
			delivered++
			if len(rec.Payload) == 0 {
				empty++
			} else if !m.checkMany(t, c, rec, start, next) {
				return
			}
		}
	}
}

func (m *manyModel) checkMany(t *thread, c *Consumer, rec Record, start uint64, next []uint64) bool {
	_ = load64(c.b, 0) // a step, so that a view is looked at while others run
	word := binary.LittleEndian.Uint64(rec.Payload)
	producer, i := int(word>>32)-1, word&0xFFFFFFFF
	if producer < 0 || producer >= len(next) || binary.LittleEndian.Uint64(rec.Payload[8:]) != word || len(rec.Payload) != 16 {
		m.fail("%s: record %d at %d holds %x", t.name, rec.Sequence, rec.Position, rec.Payload)
		return false
	}
	if i < next[producer] {
		m.fail("%s: record %d of producer %d again or out of order, next is %d", t.name, i, producer, next[producer])
		return false
	}
	if !c.lappable() && start <= m.before && c.stats.GapRecords == 0 && m.skipsVisible(producer, next[producer], i) {
		m.fail("%s: producer %d: %d follows %d", t.name, producer, i, next[producer])
		return false
	}
	next[producer] = i + 1
	return true
}

// skipsVisible says whether a record that shows its index lies from from to to.
func (m *manyModel) skipsVisible(producer int, from, to uint64) bool {
	for ; from < to; from++ {
		if m.sizeOf(producer, from) > 0 {
			return true
		}
	}
	return false
}

func (m *manyModel) checkReader(t *thread, c *Consumer, next []uint64, start, delivered, empty uint64) {
	s := c.stats
	if start+delivered+s.MissedRecords+s.GapRecords != c.Sequence() {
		m.fail("%s: started at %d, delivered %d, missed %d, gaps %d, sequence %d", t.name, start, delivered, s.MissedRecords, s.GapRecords, c.Sequence())
	}
	if tail := tailCount(binary.LittleEndian.Uint64(m.b[offTail:])); tail != c.Sequence() {
		m.fail("%s: ends at record %d, the tail is at %d", t.name, c.Sequence(), tail)
	}
	deaths, committed := uint64(0), uint64(0)
	for slot, p := range m.producers {
		committed += m.committed[slot]
		if p.state == threadDead {
			deaths++
		}
		if !c.lappable() && start == 0 && m.skipsVisible(slot, next[slot], m.committed[slot]) {
			m.fail("%s: producer %d committed %d records, the last seen is before %d", t.name, slot, m.committed[slot], next[slot])
		}
	}
	if s.GapRecords > deaths {
		m.fail("%s: %d gaps after %d deaths", t.name, s.GapRecords, deaths)
	}
	// A death between commit word and count leaves one more than was counted.
	if seen := start + delivered + s.MissedRecords; seen < committed || seen > committed+deaths {
		m.fail("%s: %d records, %d were committed, %d producers died", t.name, seen, committed, deaths)
	}
	t.at(21)
	c.finish()
	c.tell()
	if c.gating {
		store64(c.page, cuGate, gateNone)
	}
}

// Producers race for the tail, with store buffers: nothing is lost or doubled,
// each one's order is kept.
func TestModelManyProducers(t *testing.T) {
	for _, s := range []manyScenario{
		{name: "two producers", records: []uint64{2, 2}, granted: true, late: true},
		{name: "two producers, store buffers", records: []uint64{1, 1}, granted: true, late: true, buffered: true},
		{name: "two producers, both die", records: []uint64{1, 2}, granted: true, late: true, kills: 2},
		{name: "three producers, one dies", records: []uint64{1, 1, 1}, granted: true, late: true, kills: 1},
		{name: "one of two dies, reader", records: []uint64{1, 1}, granted: true, kills: 1},
		{name: "one of two dies, then its repairer", records: []uint64{1, 1}, granted: true, late: true, kills: 2, repairerDies: true},
		{name: "two lap, one dies", records: []uint64{1, 2}, tiny: true, late: true, policy: PolicySkip, kills: 1},
		{name: "two producers, hints, latest", records: []uint64{1, 1}, granted: true, policy: PolicyLatest, hintBytes: 32},
		{name: "one of two raises, reader attaches", records: []uint64{2, 0}, before: 4},
		{name: "one of two loses its slot and lives on", records: []uint64{1, 1}, granted: true, late: true, unbinds: true},
		{name: "two lap, reader from latest", records: []uint64{1, 2}, tiny: true, late: true, newest: true},
		{name: "two producers, raising", records: []uint64{1, 1}, late: true},
		{name: "two producers, lap", records: []uint64{1, 2}, before: 3, late: true, policy: PolicySkip},
	} {
		scenario(t, s.name, s.build)
	}
}

// manyScenario is what a run of several producers begins with.
type manyScenario struct {
	name     string
	before   uint64   // records sent before the run
	records  []uint64 // each producer is to send
	kills    int
	policy   Policy // of the reader; 0 is block
	granted  bool   // the first lap needs no raise
	late     bool   // the reader begins when all is over
	buffered bool
	// repairerDies lets repairers be killed, too; another one follows.
	repairerDies bool
	tiny         bool   // a lap is two records
	newest       bool   // the reader begins at the end, once the last producer is done
	unbinds      bool   // the daemon takes producer 0's slot back, and it lives on
	hintBytes    uint64 // 0: no hint and no new sequence base within the run
}

func (s manyScenario) build() *machine {
	policy := max(s.policy, PolicyBlock)
	m := newManyModel(1, append([]uint64{}, s.records...)...)
	if s.granted {
		binary.LittleEndian.PutUint64(m.b[offAnnounce:], modelCapacity)
		binary.LittleEndian.PutUint64(m.b[offUsable:], modelCapacity)
	}
	m.prefill(s.before)
	if s.tiny {
		m.config.Capacity, m.geometry.capacity, m.geometry.mask, m.geometry.chunk = 64, 64, 63, 16
	}
	m.buffered = s.buffered
	m.repairerDies = s.repairerDies
	if s.hintBytes > 0 {
		m.geometry.hintBytes = s.hintBytes
		m.quiet = m.quietWithHints
	}
	var starts func() bool
	from := FromOldest()
	if starts = m.over; s.newest {
		from = FromLatest()
		starts = func() bool { return finishedOrDead(m.producers[len(m.producers)-1])() }
	} else if !s.late {
		starts = nil
		m.bind(0, 1, policy)
	}
	m.produce(s.kills)
	if s.unbinds {
		m.unbinding(0)
	}
	m.spawn("R", false, starts, func(t *thread) {
		if s.late {
			m.bind(0, 1, policy)
		}
		m.readingAll(0, policy, from)(t)
	})
	return m.machine
}
