package shmring

import (
	"context"
	"testing"
)

// What each feature of a ring costs its producer, a record of 48 bytes at a time.
func BenchmarkSend64(b *testing.B) {
	for _, c := range []struct {
		name                       string
		many, timestamps, checksum bool
	}{
		{name: "one"},
		{name: "many", many: true},
		{name: "timestamps", timestamps: true},
		{name: "checksum", checksum: true},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := newHeapRing(b, Config{Capacity: 1 << 20, RecordMax: 4096, Epoch: 1, Key: 0xA5A5_0000_1234_5678, ConsumersMax: 4,
				Many: c.many, Timestamps: c.timestamps, Checksum: c.checksum})
			p := h.producer(b, ProducerOptions{})
			buf := make([]byte, 48)
			for b.Loop() {
				if err := p.TrySend(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSendReceive64(b *testing.B) {
	for _, policy := range []Policy{PolicyBlock, PolicySkip} {
		b.Run(policy.String(), func(b *testing.B) {
			h := newHeapRing(b, Config{Capacity: 1 << 20, RecordMax: 4096, Epoch: 1, Key: 0xA5A5_0000_1234_5678, ConsumersMax: 4})
			p := h.producer(b, ProducerOptions{})
			c := h.consumer(b, 0, policy, ConsumerOptions{})
			buf := make([]byte, 48)
			ctx := context.Background()
			for b.Loop() {
				if err := p.TrySend(buf); err != nil {
					b.Fatal(err)
				}
				if _, err := c.Receive(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
