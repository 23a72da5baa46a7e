package shmring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

func payload(i, n int) []byte {
	b := bytes.Repeat([]byte{byte(i)}, n)
	copy(b, fmt.Sprintf("%d:", i))
	return b
}

func mustSend(t *testing.T, p *Producer, b []byte) {
	t.Helper()
	if err := p.TrySend(b); err != nil {
		t.Fatal(err)
	}
}

func mustReceive(t *testing.T, c *Consumer, want []byte) Record {
	t.Helper()
	r, err := c.TryReceive()
	if err != nil {
		t.Fatalf("at position %d: %v", c.Position(), err)
	}
	if !bytes.Equal(r.Payload, want) {
		t.Fatalf("position %d: got %.20q (%d bytes), want %.20q (%d bytes)", r.Position, r.Payload, len(r.Payload), want, len(want))
	}
	return r
}

func wantEmpty(t *testing.T, c *Consumer) {
	t.Helper()
	if r, err := c.TryReceive(); err != ErrEmpty {
		t.Fatalf("got %v, %v, want ErrEmpty", r, err)
	}
}

// Sizes around every edge of alignment and of the limit go through, each policy.
func TestSizes(t *testing.T) {
	for _, policy := range []Policy{PolicyBlock, PolicyDemote, PolicySkip} {
		for _, timestamps := range []bool{true, false} {
			config := testConfig(CapacityBytesMin)
			config.Timestamps = timestamps
			h := newHeapRing(t, config)
			p := h.producer(t, ProducerOptions{})
			c := h.consumer(t, 0, policy, ConsumerOptions{})
			most := int(config.RecordMax)
			for lap := range 40 {
				for i, n := range []int{0, 1, 7, 8, 15, 16, 17, 4095, 4096, most - 1, most} {
					before := time.Now().UnixNano()
					mustSend(t, p, payload(lap+i, n)[:n])
					r := mustReceive(t, c, payload(lap+i, n)[:n])
					if timestamps != (r.Timestamp >= before) {
						t.Fatalf("timestamp %d, sent after %d", r.Timestamp, before)
					}
				}
			}
			wantEmpty(t, c)
			if p.Sequence() != 40*11 || c.Sequence() != p.Sequence() || c.Position() != p.Position() {
				t.Fatalf("producer %d/%d, consumer %d/%d", p.Sequence(), p.Position(), c.Sequence(), c.Position())
			}
			var tooLarge *RecordTooLargeError
			if err := p.TrySend(make([]byte, most+1)); !errors.As(err, &tooLarge) || tooLarge.Size != most+1 || tooLarge.Max != most {
				t.Fatalf("record one byte too large: %v", err)
			}
			if _, err := p.Reserve(context.Background(), most+1); !errors.As(err, &tooLarge) {
				t.Fatalf("reservation one byte too large: %v", err)
			}
		}
	}
}

// What is reserved and not committed is invisible; Abort leaves no trace.
func TestReserveCommitAbort(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{})
	c := h.consumer(t, 0, PolicyBlock, ConsumerOptions{})
	ctx := context.Background()
	b, err := p.Reserve(ctx, 5)
	if err != nil || len(b) != 5 || cap(b) != 5 {
		t.Fatal(len(b), cap(b), err)
	}
	copy(b, "hello")
	wantEmpty(t, c)
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	mustReceive(t, c, []byte("hello"))
	if err := p.Commit(); !errors.Is(err, ErrNothingReserved) {
		t.Fatalf("second commit: %v", err)
	}
	if b, err = p.Reserve(ctx, 100); err != nil {
		t.Fatal(err)
	}
	copy(b, "never seen")
	if err := p.Abort(); err != nil {
		t.Fatal(err)
	}
	wantEmpty(t, c)
	mustSend(t, p, []byte("next"))
	mustReceive(t, c, []byte("next"))
	if p.Sequence() != 2 {
		t.Fatalf("sequence %d after an abort, want 2", p.Sequence())
	}
}

func TestStartPositions(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{})
	empty := h.consumer(t, 0, PolicySkip, ConsumerOptions{From: FromOldest()})
	if empty.Start() != 0 {
		t.Fatalf("oldest of an empty ring: %d", empty.Start())
	}
	positions := map[uint64]int{}
	for i := range 500 {
		positions[p.Position()] = i // of the record, or of the pad before it
		mustSend(t, p, payload(i, i%3000))
	}
	for _, policy := range []Policy{PolicyBlock, PolicySkip} {
		oldest := h.consumer(t, 1, policy, ConsumerOptions{From: FromOldest()})
		r, err := oldest.TryReceive()
		if err != nil || r.Missed != 0 {
			t.Fatal(r.Missed, err)
		}
		if held := p.Position() - oldest.Start(); held < h.capacity/2 || held > h.capacity {
			t.Fatalf("oldest is %d bytes back in a ring of %d", held, h.capacity)
		}
		latest := h.consumer(t, 2, policy, ConsumerOptions{From: FromLatest()})
		if latest.Start() != p.Position() || latest.Sequence() != 500 {
			t.Fatalf("latest is %d/%d, producer %d", latest.Start(), latest.Sequence(), p.Position())
		}
		tried := 0
		for pos, i := range positions {
			c, err := h.tryConsumer(3, policy, ConsumerOptions{From: FromPosition(pos)})
			var gone *PositionError
			switch {
			case errors.As(err, &gone):
				if pos >= oldest.Start() || gone.Inside || gone.Newest != p.Position() {
					t.Fatalf("position %d of %d..%d: %v", pos, oldest.Start(), p.Position(), err)
				}
			case err != nil:
				t.Fatal(err)
			default:
				tried++
				if c.Sequence() != uint64(i) {
					t.Fatalf("position %d: sequence %d, want %d", pos, c.Sequence(), i)
				}
				mustReceive(t, c, payload(i, i%3000))
				if r.Position+16 == pos {
					continue
				}
			}
			var inside *PositionError
			if err == nil {
				if _, err := h.tryConsumer(3, policy, ConsumerOptions{From: FromPosition(pos + 8)}); !errors.As(err, &inside) || !inside.Inside {
					t.Fatalf("position %d: %v", pos+8, err)
				}
			}
		}
		if tried < 10 {
			t.Fatalf("only %d positions were there", tried)
		}
		end := h.consumer(t, 3, policy, ConsumerOptions{From: FromPosition(p.Position())})
		if end.Start() != p.Position() {
			t.Fatal("the end of the ring is no start")
		}
		var beyond *PositionError
		if _, err := h.tryConsumer(3, policy, ConsumerOptions{From: FromPosition(p.Position() + 1<<20)}); !errors.As(err, &beyond) || beyond.Inside {
			t.Fatalf("beyond the end: %v", err)
		}
		for slot := range 4 {
			h.setBit(offConsumerMask, slot, false)
		}
	}
}

// A producer's successor goes on exactly behind what was committed, whatever
// the predecessor had reserved, and readers notice nothing.
func TestSuccessor(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	c := h.consumer(t, 0, PolicyBlock, ConsumerOptions{From: FromOldest()})
	rng := rand.New(rand.NewPCG(7, 7))
	next, want := 0, 0
	for range 300 {
		p := h.producer(t, ProducerOptions{})
		for range rng.IntN(20) {
			mustSend(t, p, payload(next, rng.IntN(2000)+8))
			next++
		}
		if b, err := p.Reserve(context.Background(), rng.IntN(4000)); err == nil && rng.IntN(2) == 0 {
			for i := range b {
				b[i] = 0xEE
			}
		}
		for want < next {
			r, err := c.TryReceive()
			if err != nil || r.Sequence != uint64(want) || !bytes.HasPrefix(r.Payload, payload(want, 8)[:3]) {
				t.Fatalf("record %d: %v %v", want, r, err)
			}
			want++
		}
		wantEmpty(t, c)
	}
}

func TestEndOfStream(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{})
	c := h.consumer(t, 0, PolicyBlock, ConsumerOptions{})
	mustSend(t, p, []byte("last"))
	if err := p.End(context.Background()); err != nil {
		t.Fatal(err)
	}
	mustReceive(t, c, []byte("last"))
	if _, err := c.Receive(context.Background()); !errors.Is(err, ErrEndOfStream) {
		t.Fatal(err)
	}
	wantEmpty(t, c)
	mustSend(t, p, []byte("more"))
	if r := mustReceive(t, c, []byte("more")); r.Sequence != 1 {
		t.Fatalf("the end record was counted: sequence %d", r.Sequence)
	}
}

func TestStates(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{})
	c := h.consumer(t, 0, PolicyBlock, ConsumerOptions{Wait: WaitPark})
	done := make(chan error)
	go func() {
		_, err := c.Receive(context.Background())
		done <- err
	}()
	time.Sleep(10 * time.Millisecond)
	if err := h.SetState(StateRemoved); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, ErrRemoved) {
		t.Fatal(err)
	}
	if err := p.TrySend(nil); !errors.Is(err, ErrRemoved) {
		t.Fatal(err)
	}
	store32(h.b, offState, uint32(StateCorrupt))
	if err := p.TrySend(nil); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	if _, err := c.TryReceive(); !errors.Is(err, ErrCorrupt) {
		t.Fatal(err)
	}
	store32(h.b, offState, uint32(StateLive))
	mustSend(t, p, nil)
	mustReceive(t, c, nil)
	h.setBit(offProducerMask, 0, false)
	if err := p.TrySend(nil); !errors.Is(err, ErrDetached) {
		t.Fatal(err)
	}
	store32(h.b, consumersOff+csPolicy, 0)
	if _, err := c.TryReceive(); !errors.Is(err, ErrDetached) {
		t.Fatal(err)
	}
}

// Poll gives views; a reader that was overrun while fn looked gets the verdict
// and counts the record as missed.
func TestPollVerdict(t *testing.T) {
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	p := h.producer(t, ProducerOptions{})
	c := h.consumer(t, 0, PolicySkip, ConsumerOptions{})
	for i := range 3 {
		mustSend(t, p, payload(i, 100))
	}
	calls := 0
	n, err := c.Poll(func(r Record) error {
		calls++
		if r.Sequence == 1 {
			for i := range 100 {
				mustSend(t, p, payload(i, 1000))
			}
		}
		return nil
	}, 10)
	var overrun *OverrunError
	if n != 1 || calls != 2 || !errors.As(err, &overrun) {
		t.Fatalf("%d records, %d calls, %v", n, calls, err)
	}
	for err == nil || errors.As(err, &overrun) {
		if n, err = c.Poll(func(Record) error { return nil }, 1000); n == 0 && err == nil {
			break
		}
	}
	if s := c.Stats(); err != nil || s.Delivered+s.MissedRecords != 103 || s.MissedRecords < 1 {
		t.Fatalf("%v %+v", err, s)
	}
	mustSend(t, p, []byte("x"))
	stop := errors.New("stop")
	if n, err := c.Poll(func(Record) error { return stop }, 10); n != 1 || !errors.Is(err, stop) {
		t.Fatal(n, err)
	}
	wantEmpty(t, c)
}

// Two goroutines, every wait strategy, gating policies only: this runs under
// the race detector, which then vouches for the ordering of the Go code.
func TestConcurrent(t *testing.T) {
	const records = 20000
	for _, wait := range []WaitStrategy{WaitAuto, WaitSpin, WaitYield, WaitPark} {
		h := newHeapRing(t, testConfig(CapacityBytesMin))
		p := h.producer(t, ProducerOptions{Wait: wait})
		readers := make(chan error)
		for slot := range 3 {
			c := h.consumer(t, slot, PolicyBlock, ConsumerOptions{Wait: wait, From: FromOldest()})
			go func() { readers <- readAll(c, records) }()
		}
		for i := range records {
			if err := p.Send(context.Background(), payload(i, 8+i%600)); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			if err := <-readers; err != nil {
				t.Fatalf("%s: %v", wait, err)
			}
		}
	}
}

func readAll(c *Consumer, records int) error {
	for i := range records {
		r, err := c.Receive(context.Background())
		if err != nil {
			return err
		}
		if !bytes.Equal(r.Payload, payload(i, 8+i%600)) || r.Sequence != uint64(i) || r.Missed != 0 {
			return fmt.Errorf("record %d: %.10q", i, r.Payload)
		}
	}
	return nil
}
