package shmring

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// What a hostile process writes into a ring that it may write to, aimed at what an
// honest one or the daemon does with it. Random garbage is FuzzWords and
// tests/hostile.

// finishes fails when fn takes longer than a hang would, and shows where it is.
func finishes(t *testing.T, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); fn() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		panic(what + " does not come back")
	}
}

// interfering runs fn again and again in another goroutine while body runs.
func interfering(fn, body func()) {
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			fn()
		}
	}()
	defer func() { stop.Store(true); <-done }()
	body()
}

func publish(t *testing.T, p *Producer, bytes int) {
	t.Helper()
	if err := p.Send(context.Background(), make([]byte, bytes)); err != nil {
		t.Fatal(err)
	}
}

// TestUnevenAnnouncement: a claim at a position that is no multiple of 16 would end
// in the middle of a word behind the ring's end.
func TestUnevenAnnouncement(t *testing.T) {
	for off := range uint64(recordAlign) {
		h := newHeapRing(t, manyConfig(1<<16))
		p := h.producer(t, ProducerOptions{})
		announce := h.capacity + off
		store64(h.b, offAnnounce, announce)
		store64(h.b, offTail, tailWord(h.capacity-recordAlign, ownerNone, 1))
		err := p.Send(context.Background(), make([]byte, 64))
		if off == 0 && err != nil || off != 0 && !errors.Is(err, ErrCorrupt) {
			t.Errorf("announced position %d: %v", announce, err)
		}
	}
}

// TestTailOfGarbage keeps the tail word changing, so that no claim is ever won: a
// producer is told when the ring is retired, and when it is to stop.
func TestTailOfGarbage(t *testing.T) {
	h := newHeapRing(t, manyConfig(1<<16))
	p := h.producer(t, ProducerOptions{})
	word := uint64(1)
	interfering(func() {
		word = word*6364136223846793005 + 1442695040888963407
		store64(h.b, offTail, word)
	}, func() {
		finishes(t, "Send", func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			for ctx.Err() == nil {
				if err := p.Send(ctx, []byte("x")); err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			}
		})
		finishes(t, "TrySend", func() { _ = p.TrySend([]byte("x")) })
		store32(h.b, offState, uint32(StateCorrupt))
		finishes(t, "Send into a retired ring", func() {
			if err := p.Send(context.Background(), []byte("x")); !errors.Is(err, ErrCorrupt) {
				t.Errorf("retired: %v", err)
			}
		})
	})
}

// TestFleeingAnnouncement overruns readers at each of their looks.
func TestFleeingAnnouncement(t *testing.T) {
	for _, policy := range []Policy{PolicySkip, PolicyLatest, PolicyDemote} {
		t.Run(policy.String(), func(t *testing.T) {
			h := newHeapRing(t, testConfig(1<<16))
			c := h.consumer(t, 0, policy, ConsumerOptions{})
			store64(h.b, consumerEntry(0)+csDemoted, 1)
			at := uint64(0)
			interfering(func() {
				at += h.capacity + h.chunk
				store64(h.b, offAnnounce, at)
				for n := range h.chunks {
					pos := at - h.capacity + n*h.chunk
					h.putPair(h.syncEntry(pos), boundary{pos, pos / recordAlign})
				}
			}, func() {
				finishes(t, "TryReceive", func() {
					for range 1000 {
						_, _ = c.TryReceive()
					}
				})
				finishes(t, "Poll", func() {
					for range 1000 {
						_, _ = c.Poll(func(Record) error { return nil }, 10)
					}
				})
				finishes(t, "Receive", func() {
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
					defer cancel()
					for ctx.Err() == nil {
						_, _ = c.Receive(ctx)
					}
				})
			})
		})
	}
}

// TestEndlessPads: a reader that never finds a record comes back from TryReceive.
func TestEndlessPads(t *testing.T) {
	h := newHeapRing(t, testConfig(1<<16))
	c := h.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest()})
	pos := uint64(0)
	interfering(func() {
		store64(h.b, h.at(pos)+8, recordAlign)
		store64(h.b, h.at(pos), h.commitWord(pos, kindPad))
		if pos += recordAlign; pos%h.capacity == 0 {
			store64(h.b, offAnnounce, pos+h.capacity)
		}
	}, func() {
		finishes(t, "TryReceive", func() {
			for range 100 {
				_, _ = c.TryReceive()
			}
		})
	})
}

// TestLongWalkIsCutShort fills half a big ring with the smallest parts, and hides
// the hints: the daemon looks at it again and again, and has other rings.
func TestLongWalkIsCutShort(t *testing.T) {
	h := newHeapRing(t, testConfig(1<<26))
	end := h.capacity / 2
	for pos := uint64(0); pos < end; pos += recordAlign {
		put64(h.b, h.at(pos)+8, recordAlign)
		put64(h.b, h.at(pos), h.commitWord(pos, kindPad))
	}
	store64(h.b, offAnnounce, end)
	begin := time.Now()
	first, err := h.end()
	if err != nil || first.pos != lookTriesMax*lookPartsMax*recordAlign {
		t.Errorf("one look went to %d (%v), want it to stop at %d", first.pos, err, lookTriesMax*lookPartsMax*recordAlign)
	}
	t.Logf("one look took %v", time.Since(begin))
	for at := first; at.pos < end; {
		next, err := h.end()
		if err != nil || next.pos <= at.pos {
			t.Fatalf("after %d the next look found %d (%v)", at.pos, next.pos, err)
		}
		at = next
	}
	// A claim of so many parts is none.
	if _, _, ok := h.firstOpen(intent{pos: 0, bytes: h.claimMax, records: 1}); ok {
		t.Error("a claim of many parts was walked to its end")
	}
}

// TestLookGoesOn: hints are missing at the moment they are replaced, and the end
// does not go back for that.
func TestLookGoesOn(t *testing.T) {
	h := newHeapRing(t, testConfig(1<<16))
	p := h.producer(t, ProducerOptions{})
	for range 100 {
		publish(t, p, 64)
	}
	want, err := h.newest()
	if got, lerr := h.end(); err != nil || lerr != nil || got != want {
		t.Fatalf("look found %+v (%v), newest %+v (%v)", got, lerr, want, err)
	}
	store64(h.b, producerEntry(0)+psHint, syncNone)
	if got, err := h.end(); err != nil || got != want {
		t.Errorf("without a hint: %+v (%v), want %+v", got, err, want)
	}
	store64(h.b, offAnnounce, want.pos-recordAlign)
	if _, err := h.end(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("the announcement went back: %v, want ErrCorrupt", err)
	}
}

// TestDaemonsWordsAreWatched changes each of them, as a producer can.
func TestDaemonsWordsAreWatched(t *testing.T) {
	c := testConfig(1 << 16)
	r, err := Create(t.TempDir(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := errors.Join(r.BindConsumer(1, Binding{Generation: 3, Policy: PolicyBlock, Parks: true}), r.BindProducer(0, Binding{Generation: 1})); err != nil {
		t.Fatal(err)
	}
	sound := func(r *Ring, want bool, what string) {
		t.Helper()
		if _, err := r.Stats(); (err == nil) != want || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	sound(r, true, "as it was made")
	again, err := Open(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	sound(again, true, "as the next daemon finds it")
	offs := []uint64{offMagic, offVersion, offCapacity, offKey, offEpoch, offCRC, offState, offNoWake, offConsumerMask, offParkMask,
		offFenceMask, offProducerMask, offLentMask, consumerEntry(1) + csGeneration, consumerEntry(1) + csPolicy, consumerEntry(0) + csFlags, consumerEntry(1) + csDemoteAfter}
	for _, off := range offs {
		before := load32(r.b, off)
		store32(r.b, off, before^1<<7)
		sound(r, false, "changed")
		store32(r.b, off, before)
	}
	sound(r, true, "put back")
	for _, bytes := range []int64{0, 1 << 12, 1 << 20} {
		if err := errors.Join(r.data.Truncate(bytes), r.data.Truncate(int64(c.dataBytes()))); err != nil {
			t.Fatal(err)
		}
		if bytes < int64(c.dataBytes()) {
			sound(r, false, "truncated and grown again")
		}
	}
	// Its own changes are no other's.
	if err := r.SetState(StateRemoved); err != nil {
		t.Fatal(err)
	}
}

// TestTrim gives memory back that was added to a file, whatever way.
func TestTrim(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "brokerd-trim-")
	if err != nil {
		t.Skipf("needs a tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := testConfig(1 << 16)
	r, err := Create(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := r.BindConsumer(2, Binding{Generation: 1, Policy: PolicySkip}); err != nil {
		t.Fatal(err)
	}
	if slots, err := r.Trim(); err != nil || len(slots) != 0 {
		t.Fatalf("nothing was added: %v, %v", slots, err)
	}
	page := r.pages[2]
	blocks := func() int64 { return blocksOf(t, page) + blocksOf(t, r.data) }
	before := blocks()
	for what, add := range map[string]func() error{
		"longer":         func() error { return page.Truncate(1 << 30) },
		"reserved":       func() error { return reserve(page, 8<<20) },
		"behind its end": func() error { return reserveBehind(page, 8<<20) },
		"data":           func() error { return reserveBehind(r.data, 8<<20) },
	} {
		if err := add(); err != nil {
			t.Fatal(err)
		}
		slots, err := r.Trim()
		if size, _ := page.Stat(); err != nil || blocks() != before || size.Size() != cursorPageBytes {
			t.Errorf("%s: %v, %d blocks of 512 bytes, were %d", what, err, blocks(), before)
		}
		if visible := what == "longer" || what == "reserved"; visible != (len(slots) == 1) {
			t.Errorf("%s: slots %v", what, slots)
		}
	}
	if err := page.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if slots, err := r.Trim(); err != nil || len(slots) != 1 || slots[0] != 2 {
		t.Errorf("a page of 0 bytes: %v, %v", slots, err)
	}
}

// TestImplausibleWords forges what producers start from. Each is found by the daemon's
// look, so that nobody waits at it for ever.
func TestImplausibleWords(t *testing.T) {
	forge := map[string]func(h *heapRing){
		"tail word":             func(h *heapRing) { store64(h.b, offTail, load64(h.b, offTail)+1<<20) },
		"announcement":          func(h *heapRing) { store64(h.b, offAnnounce, load64(h.b, offAnnounce)+8) },
		"sequence base":         func(h *heapRing) { store64(h.b, offSeqBase, 1<<50) },
		"claim of garbage":      func(h *heapRing) { h.forgeClaim(tailWord(0, 1, 0), 32, 16) },
		"claim of another tail": func(h *heapRing) { h.forgeClaim(tailWord(64, 1, 0), 16, 32) },
		"sync entry elsewhere":  func(h *heapRing) { h.putPair(syncOff, boundary{h.chunk, 1}) },
		"sync entry of garbage": func(h *heapRing) { h.putPair(syncOff, boundary{h.chunk*16 + 1, 1}) },
		"sync entries that go back": func(h *heapRing) {
			h.putPair(syncOff, boundary{h.chunk * 16, 5})
			h.putPair(syncOff+syncEntryBytes, boundary{h.chunk * 17, 4})
		},
		"a sync entry between that goes up": func(h *heapRing) {
			h.putPair(syncOff, boundary{h.chunk * 16, 5})
			h.putPair(syncOff+2*syncEntryBytes, boundary{h.chunk * 18, 7})
			h.putPair(syncOff+syncEntryBytes, boundary{h.chunk * 17, 9})
		},
	}
	for what, by := range forge {
		h := newHeapRing(t, manyConfig(1<<16))
		p := h.producer(t, ProducerOptions{})
		for range 20 {
			publish(t, p, 100)
		}
		if _, err := h.Stats(); err != nil {
			t.Fatalf("before: %v", err)
		}
		by(h)
		if _, err := h.Stats(); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want ErrCorrupt", what, err)
		}
	}
}

// forgeClaim writes an intent into the slot of the producer.
func (h *heapRing) forgeClaim(word, pos, bytes uint64) {
	entry := producerEntry(0)
	store64(h.b, entry+psClaimLen, bytes)
	store64(h.b, entry+psClaimPos, pos)
	store64(h.b, entry+psIntent, word)
}
