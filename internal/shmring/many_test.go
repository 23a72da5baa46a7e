package shmring

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

func manyConfig(capacity uint64) Config {
	c := testConfig(capacity)
	c.Many, c.Checksum = true, true
	return c
}

// stamped is a payload that names its producer and its place in its order.
func stamped(producer int, i uint64, size int) []byte {
	b := make([]byte, max(size, 16))
	binary.LittleEndian.PutUint64(b, uint64(producer))
	binary.LittleEndian.PutUint64(b[8:], i)
	return b
}

// Several producers at once: a lossless reader sees each one's records in order.
// The ring is not lapped: a producer that looks whether a claim is open may look
// at one that is complete and is being written over (it asks again), which the
// race detector cannot know. The hammer laps, in processes.
func TestManyProducersAtOnce(t *testing.T) {
	const producers, each = 4, 5000
	h := newHeapRing(t, manyConfig(64<<20))
	block := h.consumer(t, 0, PolicyBlock, ConsumerOptions{})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var work sync.WaitGroup
	for slot := range producers {
		p := h.producer(t, ProducerOptions{Slot: slot, Wait: WaitYield})
		rng := rand.New(rand.NewPCG(seed, uint64(slot)))
		work.Go(func() {
			for i := range uint64(each) {
				if err := p.Send(t.Context(), stamped(slot, i, rng.IntN(2000))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work.Go(func() {
		next := [producers]uint64{}
		for range producers * each {
			r, err := block.Receive(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			p, i := binary.LittleEndian.Uint64(r.Payload), binary.LittleEndian.Uint64(r.Payload[8:])
			if p >= producers || next[p] != i {
				t.Errorf("producer %d: record %d, want %d", p, i, next[p])
				return
			}
			next[p]++
		}
	})
	work.Wait()
	s, err := h.Stats()
	if err != nil || s.Sequence != producers*each || s.GapRecords != 0 {
		t.Fatalf("%+v %v", s, err)
	}
}

// A claim whose owner died becomes a gap; what others published behind it is
// there; a second repair changes nothing; the slot can be lent again.
func TestDeadClaimBecomesAGap(t *testing.T) {
	for _, size := range []int{0, 100, 8000} {
		h := newHeapRing(t, manyConfig(CapacityBytesMin))
		c := h.consumer(t, 0, PolicyBlock, ConsumerOptions{})
		dead, alive := h.producer(t, ProducerOptions{Slot: 0}), h.producer(t, ProducerOptions{Slot: 1})
		for lap := range 50 { // the ring's end is among the places
			mustSend(t, alive, payload(lap, 10))
			if _, err := dead.Reserve(t.Context(), size); err != nil {
				t.Fatal(err)
			}
			mustSend(t, alive, payload(lap+1, 10))
			mustReceive(t, c, payload(lap, 10))
			wantEmpty(t, c) // it waits at the claim
			for repeat := range 2 {
				n, err := h.Repair(0)
				if err != nil || n != 1-repeat {
					t.Fatalf("repair %d: %d records, %v", repeat, n, err)
				}
			}
			if r := mustReceive(t, c, payload(lap+1, 10)); r.Gaps != 1 {
				t.Fatalf("gaps %d", r.Gaps)
			}
			dead = newProducer(h.b, h.m.cursors, h.config, ProducerOptions{Slot: 0})
		}
		if s, err := h.Stats(); err != nil || s.GapRecords != 50 || s.Sequence != 150 || c.Sequence() != 150 {
			t.Fatalf("%+v, reader at %d, %v", s, c.Sequence(), err)
		}
	}
}

// A living producer that gives a claim up leaves a gap: by Abort, by another
// Reserve, by Close.
func TestManyAbort(t *testing.T) {
	h := newHeapRing(t, manyConfig(CapacityBytesMin))
	c := h.consumer(t, 0, PolicySkip, ConsumerOptions{})
	p, q := h.producer(t, ProducerOptions{Slot: 3}), h.producer(t, ProducerOptions{Slot: 9})
	reserve := func(p *Producer) {
		t.Helper()
		if _, err := p.Reserve(context.Background(), 50); err != nil {
			t.Fatal(err)
		}
	}
	reserve(p)
	if err := p.Abort(); err != nil {
		t.Fatal(err)
	}
	reserve(p)
	reserve(p)
	mustSend(t, q, []byte("q"))
	if p.drop(); p.frame != 0 { // what Close does before it unmaps
		t.Fatal("a claim is left")
	}
	if r := mustReceive(t, c, []byte("q")); r.Gaps != 3 || r.Sequence != 3 {
		t.Fatalf("%+v", r)
	}
	if n, err := h.Repair(3); n != 0 || err != nil {
		t.Fatal(n, err)
	}
}

// A stopped producer holds the others before they lap it; its waking is harmless.
func TestStoppedClaimHoldsALap(t *testing.T) {
	h := newHeapRing(t, manyConfig(CapacityBytesMin))
	stopped, p := h.producer(t, ProducerOptions{Slot: 0}), h.producer(t, ProducerOptions{Slot: 1, OnFull: OnFullFail})
	c := h.consumer(t, 0, PolicySkip, ConsumerOptions{})
	b, err := stopped.Reserve(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for ; err == nil; sent++ {
		err = p.Send(t.Context(), payload(sent, 500))
	}
	sent--
	if !errors.Is(err, ErrFull) || p.Position() > h.capacity || p.Position() < h.capacity-2*h.frameBytes(500) {
		t.Fatalf("%v at %d", err, p.Position())
	}
	copy(b, payload(7, 100))
	if err := stopped.Commit(); err != nil {
		t.Fatal(err)
	}
	mustReceive(t, c, payload(7, 100))
	for i := range sent {
		mustReceive(t, c, payload(i, 500))
	}
	mustSend(t, p, []byte("on"))
}

// A demote reader that waits at an open claim is not demoted for it.
func TestOpenClaimIsNotTheReadersFault(t *testing.T) {
	h := newHeapRing(t, manyConfig(CapacityBytesMin))
	stopped, p := h.producer(t, ProducerOptions{Slot: 0}), h.producer(t, ProducerOptions{Slot: 1, OnFull: OnFullFail})
	c := h.consumer(t, 0, PolicyDemote, ConsumerOptions{})
	store64(h.b, consumerEntry(0)+csDemoteAfter, 1)
	mustSend(t, p, []byte("before"))
	if _, err := stopped.Reserve(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	mustReceive(t, c, []byte("before"))
	for sent := 0; ; sent++ {
		wantEmpty(t, c)
		if err := p.Send(t.Context(), payload(sent, 500)); err != nil {
			break
		}
	}
	for range 100 {
		time.Sleep(10 * time.Microsecond)
		if err := p.TrySend(payload(1, 500)); err != ErrFull {
			t.Fatal(err)
		}
	}
	if err := stopped.Commit(); err != nil {
		t.Fatal(err)
	}
	if r, err := c.TryReceive(); err != nil || r.Missed != 0 || c.Demoted() || len(r.Payload) != 100 {
		t.Fatalf("%v, missed %d, demoted %v", err, r.Missed, c.Demoted())
	}
}

// Sequence numbers go on past what the tail word holds of them.
func TestManySequenceBeyondTheTailWord(t *testing.T) {
	h := newHeapRing(t, Config{Capacity: CapacityBytesMin, RecordMax: 8, Epoch: 1, Key: 1 << 60, ConsumersMax: 1, Many: true})
	p := h.producer(t, ProducerOptions{Slot: 62})
	const records = 1<<20 + 5000
	for range records {
		mustSend(t, p, nil)
	}
	if err := p.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := h.consumer(t, 0, PolicySkip, ConsumerOptions{From: FromOldest()})
	s, err := h.Stats()
	if err != nil || s.Sequence != records || p.Sequence() != records {
		t.Fatalf("%+v, producer %d, %v", s, p.Sequence(), err)
	}
	for {
		_, err := c.TryReceive()
		if err == ErrEndOfStream {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if c.Sequence() != records {
		t.Fatalf("the reader ends at %d of %d", c.Sequence(), records)
	}
}

// Garbage in any word of a claim is an error or a claim, never more.
func TestManyGarbage(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	words := []uint64{offTail, offAnnounce, offUsable, offSeqBase, offLentMask}
	for slot := range 3 {
		for off := uint64(0); off < 0x40; off += 8 {
			words = append(words, producerEntry(slot)+off)
		}
	}
	for range 3000 {
		h := newHeapRing(t, manyConfig(CapacityBytesMin))
		p, q := h.producer(t, ProducerOptions{Slot: 0}), h.producer(t, ProducerOptions{Slot: 1})
		for i := range rng.IntN(300) {
			mustSend(t, p, payload(i, rng.IntN(1000)))
		}
		if _, err := q.Reserve(t.Context(), 10); err != nil {
			t.Fatal(err)
		}
		for range 1 + rng.IntN(3) {
			value := rng.Uint64() >> rng.IntN(64)
			store64(h.b, words[rng.IntN(len(words))], value)
		}
		for _, err := range []error{p.TrySend(payload(1, 900)), ignore(h.Repair(1)), ignore(h.Stats())} {
			if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
		}
	}
}

func ignore[T any](_ T, err error) error { return err }
