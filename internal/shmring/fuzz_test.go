package shmring

import (
	"testing"
)

// Any header is refused or decodes to a configuration that is valid and makes
// the same header again.
func FuzzDecodeHeader(f *testing.F) {
	good := newHeapRing(f, testConfig(CapacityBytesMin))
	f.Add(good.b[:0x100], uint64(good.config.dataBytes()), false)
	f.Add(good.b[:0x100], uint64(good.config.dataBytes()), true)
	f.Fuzz(func(t *testing.T, head []byte, size uint64, seal bool) {
		b := make([]byte, headerBytes)
		copy(b, head)
		if seal { // get past the checksum
			sealHeader(b)
		}
		c, err := DecodeHeader(b, size)
		if err != nil {
			return
		}
		again := make([]byte, headerBytes)
		c.encodeHeader(again)
		if c.Validate() != nil || c.dataBytes() != size || string(again[offVersion:0x100]) != string(b[offVersion:0x100]) {
			t.Fatalf("%+v from %x", c, b[:0x100])
		}
	})
}

// Any bytes where records are expected: each walker ends, in bounds, with a
// record, nothing or a typed error.
func FuzzRecordScan(f *testing.F) {
	h := newHeapRing(f, testConfig(CapacityBytesMin))
	p := h.producer(f, ProducerOptions{})
	for i := range 5 {
		if err := p.TrySend(payload(i, i*50)); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(h.b[dataOff:dataOff+1024], uint64(0), uint64(1024), true)
	f.Add(h.b[dataOff:dataOff+1024], uint64(CapacityBytesMin-64), uint64(CapacityBytesMin), false)
	f.Fuzz(func(t *testing.T, records []byte, hint, announce uint64, repair bool) {
		h := newHeapRing(t, testConfig(CapacityBytesMin))
		start := hint &^ (recordAlign - 1)
		for i, v := range records {
			h.b[h.at(start+uint64(i))] = v
		}
		if repair { // make the first commit word right, so that the rest is looked at
			store64(h.b, h.at(start), h.commitWord(start, kindData))
		}
		store64(h.b, producerEntry(0)+psHint, hint)
		store64(h.b, offLentMask, 1)
		store64(h.b, offAnnounce, announce)
		if s, err := h.Stats(); err == nil && s.Position > announce+h.capacity {
			t.Fatalf("position %d, announced %d", s.Position, announce)
		}
		if err := h.BindProducer(0, Binding{Generation: 1}); err != nil {
			t.Fatal(err)
		}
		q := newProducer(h.b, h.m.cursors, h.config, ProducerOptions{})
		if q.resumeGuarded() == nil {
			if err := q.TrySend([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		for slot, policy := range []Policy{PolicyBlock, PolicyDemote, PolicySkip, PolicyLatest} {
			c, err := h.tryConsumer(slot, policy, ConsumerOptions{From: FromOldest()})
			if err != nil {
				continue
			}
			for range 100 {
				r, err := c.TryReceive()
				if err != nil && err != ErrEndOfStream {
					break
				}
				if len(r.Payload) > int(h.config.RecordMax) {
					t.Fatalf("a record of %d bytes", len(r.Payload))
				}
			}
		}
	})
}
