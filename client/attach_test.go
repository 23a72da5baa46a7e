package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"brokerd/client"
)

// pair attaches a producer and a consumer to a new ring.
func pair(t *testing.T, po client.ProducerOptions, co client.ConsumerOptions) (*client.Client, *client.Producer, *client.Consumer) {
	t.Helper()
	c := dialDaemon(t, startDaemon(t))
	createRing(t, c, "md")
	p, err := c.Producer(t.Context(), "md", po)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Consumer(t.Context(), "md", co)
	if err != nil {
		t.Fatal(err)
	}
	return c, p, r
}

func TestRecordsArriveInOrder(t *testing.T) {
	for _, policy := range []client.Policy{"", client.PolicyBlock, client.PolicyDemote, client.PolicySkip} {
		for _, wait := range []client.WaitStrategy{client.WaitAuto, client.WaitSpin, client.WaitYield, client.WaitPark} {
			t.Run(fmt.Sprintf("policy=%s wait=%s", policy, wait), func(t *testing.T) {
				_, p, r := pair(t, client.ProducerOptions{Name: "feed", WaitStrategy: wait},
					client.ConsumerOptions{Name: "book", Policy: policy, WaitStrategy: wait})
				const n = 1000 // fits the ring, so no reader is overrun
				sent := make(chan error, 1)
				go func() {
					for i := range n {
						if err := p.Send(context.Background(), fmt.Append(nil, i)); err != nil {
							sent <- err
							return
						}
					}
					sent <- p.End(context.Background())
				}()
				seq := uint64(0)
				for record, err := range r.Records(t.Context()) {
					if errors.Is(err, client.ErrEndOfStream) {
						break
					}
					if err != nil || record.Sequence != seq || string(record.Payload) != fmt.Sprint(seq) || record.Timestamp == 0 {
						t.Fatalf("record %d: got %+v, %v", seq, record, err)
					}
					seq++
				}
				if err := <-sent; err != nil || seq != n {
					t.Fatalf("sent: %v; received %d of %d", err, seq, n)
				}
				if p.Sequence() != n || r.Sequence() != n || p.Position() != r.Position() || p.Epoch() != r.Epoch() {
					t.Errorf("producer at %d/%d epoch %d, consumer at %d/%d epoch %d", p.Sequence(), p.Position(), p.Epoch(),
						r.Sequence(), r.Position(), r.Epoch())
				}
			})
		}
	}
}

func TestStartPositions(t *testing.T) {
	c, p, r := pair(t, client.ProducerOptions{}, client.ConsumerOptions{})
	var positions []uint64
	for i := range 5 {
		positions = append(positions, p.Position())
		if err := p.Send(t.Context(), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		from client.Start
		want uint64
	}{
		{client.FromOldest(), positions[0]}, {client.FromLatest(), p.Position()}, {client.Start{}, p.Position()},
		{client.FromPosition(positions[3]), positions[3]},
	} {
		q, err := c.Consumer(t.Context(), "md", client.ConsumerOptions{From: tc.from})
		if err != nil {
			t.Fatal(err)
		}
		if q.Start() != tc.want || q.Position() != tc.want {
			t.Errorf("from %v: starts at %d, at %d now; want %d", tc.from, q.Start(), q.Position(), tc.want)
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
	var position *client.PositionError
	if _, err := c.Consumer(t.Context(), "md", client.ConsumerOptions{From: client.FromPosition(1 << 40)}); !errors.As(err, &position) {
		t.Errorf("a position that is not there: got %v", err)
	}
	list, err := c.Attachments(t.Context(), "md")
	if err != nil || len(list) != 2 {
		t.Errorf("%d attachments are left, %v; want those of %s and %s", len(list), err, p.ID(), r.ID())
	}
}

// TestReserve publishes in place, and gives up.
func TestReserve(t *testing.T) {
	_, p, r := pair(t, client.ProducerOptions{}, client.ConsumerOptions{Policy: client.PolicyBlock})
	if _, err := p.Reserve(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	p.Abort()
	buf, err := p.Reserve(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	copy(buf, "abc")
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	record, err := r.Receive(t.Context())
	if err != nil || string(record.Payload) != "abc" || record.Gaps != 0 {
		t.Errorf("got %+v, %v", record, err)
	}
	var large *client.RecordTooLargeError
	most := int(p.Ring().RecordMax)
	if err := p.Send(t.Context(), make([]byte, most)); err != nil {
		t.Errorf("record_max: %v", err)
	}
	if err := p.Send(t.Context(), make([]byte, most+1)); !errors.As(err, &large) || large.Size != most+1 || large.Max != most {
		t.Errorf("one byte over record_max: got %v", err)
	}
}

// fill sends until the reader holds the producer.
func fill(t *testing.T, p *client.Producer) {
	t.Helper()
	for range 1 << 16 {
		if err := p.TrySend(make([]byte, 1000)); err != nil {
			wantError(t, "full ring", err, client.ErrFull)
			return
		}
	}
	t.Fatal("a reader that does not read holds nobody")
}

func TestOnFull(t *testing.T) {
	block := client.ConsumerOptions{Policy: client.PolicyBlock}
	payload := make([]byte, 1000)

	t.Run("fail", func(t *testing.T) {
		_, p, _ := pair(t, client.ProducerOptions{OnFull: client.OnFullFail}, block)
		fill(t, p)
		wantError(t, "send", p.Send(t.Context(), payload), client.ErrFull)
	})
	t.Run("drop", func(t *testing.T) {
		_, p, _ := pair(t, client.ProducerOptions{OnFull: client.OnFullDrop}, block)
		fill(t, p)
		if err := p.Send(t.Context(), payload); err != nil || p.Stats().Dropped != 1 {
			t.Errorf("got %v, %d dropped", err, p.Stats().Dropped)
		}
	})
	t.Run("block until the context ends", func(t *testing.T) {
		_, p, r := pair(t, client.ProducerOptions{}, block)
		fill(t, p)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		wantError(t, "send", p.Send(ctx, payload), context.DeadlineExceeded)
		drain(t, r)
		if err := p.Send(t.Context(), payload); err != nil {
			t.Errorf("after the reader has read: %v", err)
		}
	})
	t.Run("block until the timeout", func(t *testing.T) {
		const limit = 50 * time.Millisecond
		_, p, r := pair(t, client.ProducerOptions{BlockTimeout: limit}, block)
		fill(t, p)
		for range 2 { // the second wait is timed on its own
			begin := time.Now()
			wantError(t, "send", p.Send(t.Context(), payload), client.ErrFull, "for 50ms")
			if took := time.Since(begin); took < limit {
				t.Errorf("it gave up after %v, want %v", took, limit)
			}
		}
		drain(t, r)
		if err := p.Send(t.Context(), payload); err != nil {
			t.Errorf("after the reader has read: %v", err)
		}
	})
}

// drain reads all that is there.
func drain(t *testing.T, r *client.Consumer) {
	t.Helper()
	for {
		if _, err := r.TryReceive(); err != nil {
			wantError(t, "drain", err, client.ErrEmpty)
			return
		}
	}
}

func TestRefusals(t *testing.T) {
	c, p, _ := pair(t, client.ProducerOptions{}, client.ConsumerOptions{})
	ctx := t.Context()

	_, err := c.Producer(ctx, "nowhere", client.ProducerOptions{})
	wantError(t, "no such ring", err, client.ErrRingNotFound, "nowhere")
	_, err = c.Producer(ctx, "md", client.ProducerOptions{})
	wantError(t, "second producer", err, client.ErrProducerPresent, fmt.Sprint(os.Getpid()))
	_, err = c.Consumer(ctx, "md", client.ConsumerOptions{Policy: "keep"})
	wantError(t, "unknown policy", err, client.ErrInvalidParameter, "keep")
	_, err = c.Consumer(ctx, "md", client.ConsumerOptions{Name: "a b"})
	wantError(t, "bad name", err, client.ErrInvalidParameter, "a b")
	_, err = c.CreateRing(ctx, client.RingSpec{Name: "../x", Capacity: 64 << 10})
	wantError(t, "bad ring name", err, client.ErrInvalidRing, "name")
	_, err = c.CreateRing(ctx, client.RingSpec{Name: "x", Capacity: 3 << 20})
	wantError(t, "bad capacity", err, client.ErrInvalidRing, "capacity", "3145728")
	wantError(t, "remove one in use", c.RemoveRing(ctx, "md", false), client.ErrRingInUse)
	if err := c.RemoveRing(ctx, "nowhere", false); !client.IsRefused(err) {
		t.Errorf("remove none: got %v", err)
	}
	for _, o := range []client.ProducerOptions{{WaitStrategy: "nap"}, {BlockTimeout: -1}} {
		if _, err := c.Producer(ctx, "md", o); err == nil || client.IsRefused(err) {
			t.Errorf("%+v: got %v, want an error before the daemon is asked", o, err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err = c.Producer(ctx, "md", client.ProducerOptions{}); err != nil {
		t.Errorf("after the first producer has closed: %v", err)
	}
}

func TestEndings(t *testing.T) {
	c, p, r := pair(t, client.ProducerOptions{}, client.ConsumerOptions{})
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	wantError(t, "send after close", p.Send(t.Context(), nil), client.ErrClosed)
	if err := c.RemoveRing(t.Context(), "md", true); err != nil {
		t.Fatal(err)
	}
	_, err := r.Receive(t.Context())
	wantError(t, "ring removed", err, client.ErrRemoved)
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	_, err = r.TryReceive()
	wantError(t, "receive after close", err, client.ErrClosed)
	_, err = c.Rings(t.Context())
	wantError(t, "call after close", err, client.ErrClosed)
}

// TestCloseGivesTheSlotBack attaches more often than there are slots.
func TestCloseGivesTheSlotBack(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	watcher := dialDaemon(t, d)
	createRing(t, watcher, "md")
	for range 100 { // of 16 slots
		r, err := c.Consumer(t.Context(), "md", client.ConsumerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := watcher.Attachments(t.Context(), ""); err != nil || len(list) != 0 {
		t.Errorf("%d attachments are left, %v", len(list), err)
	}
}

// TestReceiveEndsWithItsContext is about a wait that nothing else ends.
func TestReceiveEndsWithItsContext(t *testing.T) {
	_, _, r := pair(t, client.ProducerOptions{}, client.ConsumerOptions{})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	_, err := r.Receive(ctx)
	wantError(t, "receive", err, why)
	for _, err := range r.Records(ctx) {
		wantError(t, "records", err, why)
	}
}

// TestNoFilesAreLeft counts descriptors over many attachments, whose mappings
// need none.
func TestNoFilesAreLeft(t *testing.T) {
	d := startDaemon(t)
	c := dialDaemon(t, d)
	createRing(t, c, "md")
	before := openFiles(t)
	for range 20 {
		p, err := c.Producer(t.Context(), "md", client.ProducerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if n := openFiles(t); n > before {
			t.Fatalf("%d descriptors while attached, %d before", n, before)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Consumer(t.Context(), "md", client.ConsumerOptions{From: client.FromPosition(1)}); err == nil {
			t.Fatal("attached at a position that is not there")
		}
	}
	if n := openFiles(t); n > before {
		t.Errorf("%d descriptors, %d before", n, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		target, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if !strings.Contains(target, "anon_inode") { // the runtime's own, made when first needed
			n++
		}
	}
	return n
}
