package shmring

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// A latest reader gets the newest record each time it asks, from any distance,
// and counts what it passed over; one producer and many.
func TestLatest(t *testing.T) {
	for _, many := range []bool{false, true} {
		config := testConfig(CapacityBytesMin)
		config.Many = many
		h := newHeapRing(t, config)
		p := h.producer(t, ProducerOptions{})
		c := h.consumer(t, 0, PolicyLatest, ConsumerOptions{})
		rng := rand.New(rand.NewPCG(3, 3))
		sent, delivered, missed := 0, uint64(0), uint64(0)
		for range 3000 {
			for range 1 + rng.IntN(1+rng.IntN(400)) {
				mustSend(t, p, payload(sent, rng.IntN(900)))
				sent++
			}
			r, err := c.TryReceive()
			if err != nil || r.Sequence != uint64(sent-1) {
				t.Fatalf("record %d of %d: %v", r.Sequence, sent, err)
			}
			delivered++
			missed += r.Missed
			if delivered+missed != uint64(sent) || c.Stats().MissedRecords != missed {
				t.Fatalf("delivered %d, missed %d of %d", delivered, missed, sent)
			}
			wantEmpty(t, c)
		}
		mustSend(t, p, []byte("last"))
		if err := p.End(context.Background()); err != nil {
			t.Fatal(err)
		}
		mustReceive(t, c, []byte("last"))
		if _, err := c.TryReceive(); err != ErrEndOfStream {
			t.Fatal(err)
		}
	}
}

// A wrong checksum is an error that names the record, counts, and is passed over;
// each policy, and Poll.
func TestChecksum(t *testing.T) {
	for _, policy := range []Policy{PolicyBlock, PolicyDemote, PolicySkip, PolicyLatest} {
		for _, poll := range []bool{false, true} {
			config := testConfig(CapacityBytesMin)
			config.Checksum = true
			h := newHeapRing(t, config)
			p := h.producer(t, ProducerOptions{Tag: 9})
			c := h.consumer(t, 0, policy, ConsumerOptions{})
			receive := func() (r Record, err error) {
				if !poll {
					return c.TryReceive()
				}
				_, err = c.Poll(func(got Record) error { r = got; return nil }, 1)
				return r, err
			}
			for i, n := range []int{0, 1, 15, 16, 333} {
				mustSend(t, p, payload(i, n)[:n])
				if r, err := receive(); err != nil || r.Tag != 9 || len(r.Payload) != n {
					t.Fatalf("%s: %v %v", policy, r, err)
				}
				// Every byte from the length on is covered.
				for _, off := range []uint64{12, 16, h.bodyOff, h.bodyOff + uint64(n)} {
					pos, seq := p.Position(), p.Sequence()
					mustSend(t, p, payload(i, n)[:n])
					h.b[h.at(pos)+off] ^= 0x10
					_, err := receive()
					bad := (*ChecksumError)(nil)
					if !errors.As(err, &bad) || bad.Position != pos || bad.Sequence != seq || bad.Want == bad.Got {
						t.Fatalf("%s, %d bytes, byte %d: %v", policy, n, off, err)
					}
				}
			}
			if s := c.Stats(); s.ChecksumErrors != 20 || s.Delivered != 5 || c.Sequence() != 25 {
				t.Fatalf("%s: %+v at %d", policy, s, c.Sequence())
			}
			c.finish()
			c.tell()
			if s, err := h.ConsumerStats(0); err != nil || s.ChecksumErrors != 20 {
				t.Fatalf("%+v %v", s, err)
			}
		}
	}
}

// Tags select records; the others are counted and do not hold the producer.
func TestTags(t *testing.T) {
	for _, policy := range []Policy{PolicyBlock, PolicyDemote, PolicySkip, PolicyLatest} {
		h := newHeapRing(t, testConfig(CapacityBytesMin))
		p := h.producer(t, ProducerOptions{Tag: 1, OnFull: OnFullFail})
		c := h.consumer(t, 0, policy, ConsumerOptions{Tags: []uint16{2, 65535}})
		const laps = 5000 // of records that are not wanted
		for i := range laps {
			mustSend(t, p, payload(i, 200))
			if i%100 == 0 {
				wantEmpty(t, c)
			}
		}
		p.SetTag(2)
		mustSend(t, p, []byte("two"))
		p.SetTag(3)
		mustSend(t, p, []byte("three"))
		if r := mustReceive(t, c, []byte("two")); r.Tag != 2 {
			t.Fatal(r.Tag)
		}
		wantEmpty(t, c)
		p.SetTag(65535)
		mustSend(t, p, []byte("last"))
		mustReceive(t, c, []byte("last"))
		if s := c.Stats(); s.Delivered != 2 || s.Filtered != laps+1 || s.Delivered+s.Filtered+s.MissedRecords != c.Sequence() {
			t.Fatalf("%s: %+v", policy, s)
		}
	}
}

// successor binds slot 0 again as the daemon does for a reader that resumes.
func (h *heapRing) successor(t *testing.T, policy Policy, o ConsumerOptions) *Consumer {
	t.Helper()
	entry := consumerEntry(0)
	generation := load32(h.b, entry+csGeneration)
	if load64(h.b, entry+csDemoted) == uint64(generation) {
		h.releaseGate(h.m.cursors[0])
	}
	h.lendSlot(0, h.m.cursors[0], Binding{Generation: generation + 1, Policy: policy, DemoteAfter: time.Second})
	o.Slot, o.Generation, o.Policy, o.KeepCursor, o.From = 0, generation+1, policy, true, FromResume()
	c := newConsumer(h.b, h.m.cursors[0], h.config, o)
	if err := c.attachGuarded(o.From); err != nil {
		t.Fatal(err)
	}
	return c
}

// A reader that resumes goes on behind the last record that its predecessor came
// back from, killed or closed; a gating one was waited for meanwhile, and the
// others know exactly what they missed.
func TestResume(t *testing.T) {
	for _, policy := range []Policy{PolicyBlock, PolicyDemote, PolicySkip} {
		for _, closed := range []bool{false, true} {
			h := newHeapRing(t, testConfig(CapacityBytesMin))
			p := h.producer(t, ProducerOptions{OnFull: OnFullFail})
			c := h.consumer(t, 0, policy, ConsumerOptions{KeepCursor: true})
			next := 0
			for generation := range 20 {
				sent := next
				for range 20 {
					mustSend(t, p, payload(sent, 300))
					sent++
				}
				for range 10 {
					mustReceive(t, c, payload(next, 300))
					next++
				}
				if closed {
					if err := c.leave(); err != nil {
						t.Fatal(err)
					}
				} else {
					next-- // it never came back from the last one
				}
				for i := 0; i < 500; i++ {
					if err := p.Send(t.Context(), payload(sent, 300)); err != nil {
						break
					}
					sent++
				}
				if lossless := policy != PolicySkip; lossless != (uint64(sent-next)*h.frameBytes(300) <= h.capacity) {
					t.Fatalf("%s: %d records are out, the reader is at %d", policy, sent, next)
				}
				before := c.Sequence()
				c = h.successor(t, policy, ConsumerOptions{})
				if !c.Resumed() {
					t.Fatal("not resumed")
				}
				r, err := c.TryReceive()
				if err != nil || r.Sequence != uint64(next)+r.Missed {
					t.Fatalf("%s, closed %v, generation %d: record %d after %d missed, want %d (it was at %d): %v", policy, closed, generation, r.Sequence, r.Missed, next, before, err)
				}
				if (policy == PolicySkip) != (r.Missed > 0) {
					t.Fatalf("%s missed %d", policy, r.Missed)
				}
				for next = int(r.Sequence) + 1; next < sent; next++ {
					mustReceive(t, c, payload(next, 300))
				}
			}
		}
	}
}

// A demoted reader's successor holds nobody until it has started, and a slot
// without a cursor is read from the oldest record.
func TestResumeEdges(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{})
	c := h.consumer(t, 0, PolicyDemote, ConsumerOptions{KeepCursor: true})
	mustSend(t, p, []byte("seen"))
	mustReceive(t, c, []byte("seen"))
	wantEmpty(t, c)
	p.demote(0, 1)
	for i := range 300 {
		mustSend(t, p, payload(i, 500))
	}
	c = h.successor(t, PolicyDemote, ConsumerOptions{})
	r, err := c.TryReceive()
	if err != nil || r.Missed == 0 || r.Sequence != 1+r.Missed || c.Stats().MissedRecords != r.Missed || !c.Stats().Gating {
		t.Fatalf("%+v, %+v, %v", r, c.Stats(), err)
	}

	store64(h.m.cursors[0], cuCursor, 0)
	c = h.successor(t, PolicyBlock, ConsumerOptions{})
	if c.Resumed() || c.Start() == 0 {
		t.Fatalf("resumed %v at %d", c.Resumed(), c.Start())
	}
	store64(h.m.cursors[0], cuCursorEntries, 1<<62)
	store64(h.m.cursors[0], cuCursorEntries+16, 1<<62)
	if c = h.successor(t, PolicyBlock, ConsumerOptions{}); c.Resumed() {
		t.Fatal("a forged cursor was taken")
	}
}

// A Poller hears of every ring, takes turns, and notices what ends a reader; each
// wait strategy, and with the fallback of an old kernel.
func TestPoller(t *testing.T) {
	for _, wait := range []WaitStrategy{WaitSpin, WaitYield, WaitPark, WaitAuto} {
		poller := NewPoller(wait)
		if _, err := poller.Wait(t.Context()); err != ErrEmpty {
			t.Fatal(err)
		}
		const rings, each = 3, 300
		var hs [rings]*heapRing
		var cs [rings]*Consumer
		for i := range rings {
			hs[i] = newHeapRing(t, testConfig(CapacityBytesMin))
			cs[i] = hs[i].consumer(t, 0, PolicyBlock, ConsumerOptions{})
			if err := poller.Add(cs[i]); err != nil {
				t.Fatal(err)
			}
			p := hs[i].producer(t, ProducerOptions{})
			go func() {
				for n := range each {
					_ = p.TrySend(payload(n, 40)) // missing ones are seen below
					if n%10 == 0 {
						time.Sleep(time.Millisecond)
					}
				}
			}()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var got [rings]int
		for total := 0; total < rings*each; {
			c, err := poller.Wait(ctx)
			if err != nil {
				t.Fatalf("%s: %v after %v", wait, err, got)
			}
			i := 0
			for cs[i] != c {
				i++
			}
			if r, err := c.TryReceive(); err == nil {
				if r.Sequence != uint64(got[i]) {
					t.Fatalf("record %d, want %d", r.Sequence, got[i])
				}
				got[i]++
				total++
			} else if err != ErrEmpty {
				t.Fatal(err)
			}
		}
		store32(hs[1].b, offState, uint32(StateRemoved))
		if c, err := poller.Wait(ctx); err != nil || c != cs[1] {
			t.Fatal(c == cs[1], err)
		}
		store32(hs[1].b, offState, uint32(StateLive))
		busy := hs[0].producer(t, ProducerOptions{})
		store32(hs[2].b, offState, uint32(StateRemoved))
		for waits := 0; ; waits++ { // it is noticed beside one that is always ready
			mustSend(t, busy, []byte("busy"))
			c, err := poller.Wait(ctx)
			if err != nil || waits > pollerSettleWaits*(rings+1) {
				t.Fatal(waits, err)
			}
			if c == cs[2] {
				break
			}
			if _, err := c.TryReceive(); err != nil {
				t.Fatal(err)
			}
		}
		mustReceive(t, cs[0], []byte("busy"))
		poller.Remove(cs[2])
		poller.Remove(cs[1])
		short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := poller.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	full := NewPoller(WaitPark)
	c := newHeapRing(t, testConfig(CapacityBytesMin)).consumer(t, 0, PolicySkip, ConsumerOptions{})
	for range PollerRingsMax {
		if err := full.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := full.Add(c); err == nil {
		t.Fatal("one reader too many was taken")
	}
}
