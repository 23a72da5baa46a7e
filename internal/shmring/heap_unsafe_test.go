package shmring

import (
	"encoding/binary"
	"errors"
	"testing"
	"unsafe"
)

// heapRing is a ring on heap memory, so that the race detector sees it and the
// tests reach every byte.
type heapRing struct {
	*Ring
	config Config
}

func testConfig(capacity uint64) Config {
	return Config{Capacity: capacity, RecordMax: uint32(RecordMaxFor(capacity)), Epoch: 1, Key: 0xA5A5_0000_1234_5678, ConsumersMax: 4, Timestamps: true}
}

func alignedBytes(n uint64) []byte {
	words := make([]uint64, n/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), n)
}

func newHeapRing(t testing.TB, c Config) *heapRing { return newHeapRingAt(t, c, boundary{}) }

func newHeapRingAt(t testing.TB, c Config, start boundary) *heapRing {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	b := alignedBytes(c.dataBytes())
	c.encodeHeader(b)
	binary.LittleEndian.PutUint64(b[offMagic:], formatMagic)
	r := &Ring{config: c}
	for range c.ConsumersMax {
		page := alignedBytes(cursorPageBytes)
		binary.LittleEndian.PutUint64(page[cuGate:], gateNone)
		r.m.cursors = append(r.m.cursors, page)
		r.pages = append(r.pages, nil)
	}
	r.m.data = b
	r.ring = ring{geometry: c.geometry(), b: b, cursors: r.m.cursors}
	r.formatWords(start)
	return &heapRing{Ring: r, config: c}
}

// bind is BindConsumer without files.
func (h *heapRing) bind(slot int, generation uint32, policy Policy, demoteAfter uint64) {
	entry := consumerEntry(slot)
	store64(h.m.cursors[slot], cuGate, gateNone)
	store64(h.b, entry+csDemoteAfter, demoteAfter)
	store64(h.b, entry+csDemoted, 0)
	store32(h.b, entry+csGeneration, generation)
	store32(h.b, entry+csPolicy, uint32(policy))
	h.setBit(offParkMask, slot, true)
	h.setBit(offConsumerMask, slot, true)
}

func (h *heapRing) producer(t testing.TB, o ProducerOptions) *Producer {
	t.Helper()
	if bound, err := h.ProducerBound(o.Slot); err != nil || !bound {
		if err := errors.Join(err, h.BindProducer(o.Slot, Binding{Generation: 1})); err != nil {
			t.Fatal(err)
		}
	}
	p := newProducer(h.b, h.m.cursors, h.config, o)
	if err := p.resumeGuarded(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (h *heapRing) consumer(t testing.TB, slot int, policy Policy, o ConsumerOptions) *Consumer {
	t.Helper()
	c, err := h.tryConsumer(slot, policy, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (h *heapRing) tryConsumer(slot int, policy Policy, o ConsumerOptions) (*Consumer, error) {
	entry := consumerEntry(slot)
	generation := load32(h.b, entry+csGeneration) + 1
	h.bind(slot, generation, policy, uint64(1e9))
	o.Slot, o.Generation, o.Policy = slot, generation, policy
	c := newConsumer(h.b, h.m.cursors[slot], h.config, o)
	return c, c.attachGuarded(o.From)
}
