package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"brokerd/client"
)

// TestRemoteUnreachable: nobody there, nobody known, and what is no gateway.
func TestRemoteUnreachable(t *testing.T) {
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, err = client.DialTCP(t.Context(), client.TCPOptions{Address: address, Plain: true, WaitFor: 200 * time.Millisecond})
	wantError(t, "nobody", err, client.ErrUnreachable, address, "waited 200ms")
	if took := time.Since(begin); took < 200*time.Millisecond {
		t.Errorf("it waited %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.DialTCP(ctx, client.TCPOptions{Address: address, Plain: true, WaitFor: waitMax})
	wantError(t, "nobody, and no time", err, client.ErrUnreachable)
	wantError(t, "nobody, and no time", err, context.Canceled)

	f := startFar(t, farRings)
	f.kill()
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = f.remote.Consumer(ctx, "md", client.ConsumerOptions{})
	wantError(t, "gone", err, client.ErrUnreachable, f.address, "waited")
	if err := f.start(); err != nil {
		t.Fatal(err)
	}
	f.consumer(t, "md", client.ConsumerOptions{})
	if err := f.remote.Close(); err != nil {
		t.Error(err)
	}
	_, err = f.remote.Consumer(t.Context(), "md", client.ConsumerOptions{})
	wantError(t, "closed", err, client.ErrClosed)
}

// TestRemoteRestart: the daemon goes and comes back; streams go on, and the ring
// that is another one by then is told of.
func TestRemoteRestart(t *testing.T) {
	f := startFar(t, farRings)
	ctx := bounded(t)
	r := f.consumer(t, "md", client.ConsumerOptions{From: client.FromOldest(), Policy: client.PolicyBlock})
	p := f.producer(t, "md", client.ProducerOptions{})
	publish(t, p, 0, 100)
	expect(t, r, 0, 100)
	f.kill()
	publish(t, p, 100, 200) // into the air
	if err := f.start(); err != nil {
		t.Fatal(err)
	}
	expect(t, r, 100, 200)
	if err := p.Flush(ctx); err != nil {
		t.Error(err)
	}
	f.kill()
	if err := os.RemoveAll(f.base + "/rings/md"); err != nil {
		t.Fatal(err)
	}
	if err := f.start(); err != nil {
		t.Fatal(err)
	}
	_, err := r.Receive(ctx)
	wantError(t, "another ring", err, client.ErrLost, "made anew")
	wantError(t, "another ring", err, client.ErrRemoved)
	err = nil
	for err == nil {
		err = p.Send(ctx, []byte("x"))
	}
	wantError(t, "another ring", err, client.ErrRemoved)
	wantError(t, "close", r.Close(), client.ErrLost)
	wantError(t, "close", p.Close(), client.ErrLost)
}

// TestRemoteUnacknowledged: Close waits for a while, and says what is missing.
func TestRemoteUnacknowledged(t *testing.T) {
	f := startFar(t, farRings)
	p := f.producer(t, "md", client.ProducerOptions{})
	publish(t, p, 0, 3)
	if err := p.Flush(bounded(t)); err != nil {
		t.Fatal(err)
	}
	many, err := client.DialTCP(bounded(t), client.TCPOptions{Address: f.address, Plain: true, Name: farName})
	if err != nil {
		t.Fatal(err)
	}
	var all []*client.Producer
	for i := range 8 {
		one, err := many.Producer(bounded(t), "orders", client.ProducerOptions{Name: fmt.Sprint("p", i)})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	f.kill()
	for _, one := range all {
		publish(t, one, 0, 1)
	}
	publish(t, p, 3, 10)
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var left *client.UnacknowledgedError
	if err := p.Flush(short); !errors.As(err, &left) || left.Records != 7 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("flush: %v", err)
	}
	begin := time.Now()
	err = p.Close()
	if !errors.As(err, &left) || left.Records != 7 || left.Ring != "md" {
		t.Errorf("close: %v", err)
	}
	if err := many.Close(); !errors.As(err, &left) || left.Records != 1 { // all wait at once
		t.Errorf("close of all: %v", err)
	}
	if took := time.Since(begin); took > waitMax/2 {
		t.Errorf("close took %v", took)
	}
	if err := f.start(); err != nil { // for the Client that is still open
		t.Fatal(err)
	}
}

// TestRemoteRemoved: the ring goes, with and without a successor.
func TestRemoteRemoved(t *testing.T) {
	f := startFar(t, "[]")
	ctx := bounded(t)
	for _, again := range []bool{false, true} {
		ring := createRing(t, f.near, "md")
		r := f.consumer(t, "md", client.ConsumerOptions{From: client.FromOldest()})
		near := f.nearProducer(t, "md")
		publish(t, near, 0, 5)
		expect(t, r, 0, 4) // the last one is to be had afterwards
		eventually(t, "the last record came", func() bool { return r.Stats().Delivered == 4 })
		if err := f.near.RemoveRing(ctx, "md", true); err != nil {
			t.Fatal(err)
		}
		want := uint64(0)
		if again {
			want = createRing(t, f.near, "md").Epoch
		}
		var removed *client.RemovedError
		var err error
		for err == nil || err == client.ErrEmpty {
			_, err = r.TryReceive()
		}
		if !errors.As(err, &removed) || removed.Epoch != ring.Epoch || removed.Ring != "md" {
			t.Fatalf("got %v", err)
		}
		if removed.Current != want && !again {
			t.Errorf("its successor is %d, want %d: %v", removed.Current, want, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if again {
			if err := f.near.RemoveRing(ctx, "md", true); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestRemoteDetached by an administrator.
func TestRemoteDetached(t *testing.T) {
	f := startFar(t, farRings)
	ctx := bounded(t)
	r := f.consumer(t, "md", client.ConsumerOptions{Name: "book"})
	p := f.producer(t, "md", client.ProducerOptions{Name: "feed"})
	for _, id := range []string{r.ID(), p.ID()} {
		if err := f.near.Detach(ctx, id); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
	}
	_, err := r.Receive(ctx)
	wantError(t, "reading", err, client.ErrDetached, r.ID())
	err = nil
	for err == nil {
		err = p.Send(ctx, []byte("x"))
	}
	wantError(t, "sending", err, client.ErrDetached, p.ID())
	if err := r.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	var left *client.UnacknowledgedError
	if err := p.Close(); err != nil && !errors.As(err, &left) {
		t.Errorf("close: %v", err)
	}
}
