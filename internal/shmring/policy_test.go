package shmring

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// A lossless reader's unread data is never overwritten; what it gives back is
// used again.
func TestBlockHoldsProducer(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{OnFull: OnFullFail})
	c := h.consumer(t, 0, PolicyBlock, ConsumerOptions{})
	sent, got := 0, 0
	for range 20 {
		for {
			if err := p.Send(context.Background(), payload(sent, 1000)); err != nil {
				if !errors.Is(err, ErrFull) {
					t.Fatal(err)
				}
				break
			}
			sent++
		}
		if held := p.Position() - c.Position(); held > h.capacity || held < h.capacity-2*1040 {
			t.Fatalf("the ring is full with %d of %d bytes", held, h.capacity)
		}
		for got < sent {
			mustReceive(t, c, payload(got, 1000))
			got++
		}
		wantEmpty(t, c)
	}
}

func TestOnFullDrop(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{OnFull: OnFullDrop})
	h.consumer(t, 0, PolicyBlock, ConsumerOptions{})
	for range 100 {
		if err := p.Send(context.Background(), make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := h.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if p.Stats().Dropped == 0 || p.Stats().Dropped+p.Stats().Records != 100 || s.DroppedRecords != p.Stats().Dropped || s.Sequence != p.Stats().Records {
		t.Fatalf("%+v %+v", p.Stats(), s)
	}
	if n, err := p.SendBatch(context.Background(), [][]byte{make([]byte, 9), make([]byte, 9)}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if s.Sequence+p.Stats().Dropped > 102 {
		t.Fatal("a batch that was dropped is counted as published")
	}
}

// A skip reader learns exactly what it missed: delivered + missed = sequence.
func TestSkipCountsExactly(t *testing.T) {
	for _, size := range []int{0, 100, 3000, 8000} {
		h := newHeapRing(t, testConfig(CapacityBytesMin))
		p := h.producer(t, ProducerOptions{})
		c := h.consumer(t, 0, PolicySkip, ConsumerOptions{})
		rng := rand.New(rand.NewPCG(1, uint64(size)))
		sent, want, missed, delivered := 0, 0, uint64(0), uint64(0)
		for range 200 {
			for range rng.IntN(200) {
				mustSend(t, p, payload(sent, size)[:size])
				sent++
			}
			for range rng.IntN(50) {
				r, err := c.TryReceive()
				if err == ErrEmpty {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				want += int(r.Missed)
				if !bytes.Equal(r.Payload, payload(want, size)[:size]) || r.Sequence != uint64(want) {
					t.Fatalf("record %d after %d missed: got %.10q, sequence %d", want, r.Missed, r.Payload, r.Sequence)
				}
				want++
				missed += r.Missed
				delivered++
			}
			if s := c.Stats(); s.Delivered != delivered || s.Delivered+s.MissedRecords != c.Sequence() || s.MissedRecords < missed {
				t.Fatalf("delivered %d, missed %d, sequence %d", s.Delivered, s.MissedRecords, c.Sequence())
			}
		}
		if missed == 0 {
			t.Fatal("the reader never fell behind: nothing was tested")
		}
	}
}

// A demote reader holds the producer until its deadline, then it skips and counts.
func TestDemotion(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{Wait: WaitYield})
	c := h.consumer(t, 0, PolicyDemote, ConsumerOptions{})
	store64(h.b, uint64(consumersOff)+csDemoteAfter, uint64(30*time.Millisecond))
	for i := range 60 {
		mustSend(t, p, payload(i, 1000))
	}
	began := time.Now()
	for i := 60; i < 200; i++ {
		if err := p.Send(context.Background(), payload(i, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Fatalf("demoted after %s, deadline 30ms", took)
	}
	delivered, missed := uint64(0), uint64(0)
	for {
		r, err := c.TryReceive()
		if err == ErrEmpty {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		missed += r.Missed
		if !bytes.Equal(r.Payload, payload(int(delivered+missed), 1000)) {
			t.Fatalf("after %d delivered and %d missed: %.10q", delivered, missed, r.Payload)
		}
		delivered++
	}
	s, err := h.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if !c.Demoted() || missed == 0 || delivered+missed != 200 || s.Demotions != 1 || s.HeldNanos < uint64(30*time.Millisecond) {
		t.Fatalf("demoted %v, delivered %d, missed %d, %+v", c.Demoted(), delivered, missed, s)
	}
}

// The wait of a held producer ends with its context.
func TestHeldProducerContext(t *testing.T) {
	for _, wait := range []WaitStrategy{WaitAuto, WaitSpin, WaitYield, WaitPark} {
		h := newHeapRing(t, testConfig(CapacityBytesMin))
		p := h.producer(t, ProducerOptions{Wait: wait})
		h.consumer(t, 0, PolicyBlock, ConsumerOptions{})
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		var err error
		for err == nil {
			err = p.Send(ctx, make([]byte, 5000))
		}
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%s: %v", wait, err)
		}
	}
}
