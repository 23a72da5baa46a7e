package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"brokerd/client"
)

// polled makes rings, each with a producer and a consumer in a poller.
func polled(t *testing.T, c *client.Client, rings int, wait client.WaitStrategy) (*client.Poller, []*client.Producer, []*client.Consumer) {
	t.Helper()
	poller := client.NewPoller(client.PollerOptions{WaitStrategy: wait})
	var producers []*client.Producer
	var consumers []*client.Consumer
	for i := range rings {
		ring := fmt.Sprint("r", i)
		createRing(t, c, ring)
		producers = append(producers, producer(t, c, ring, client.ProducerOptions{}))
		r := consumer(t, c, ring, client.ConsumerOptions{WaitStrategy: wait, Policy: client.PolicyBlock})
		consumers = append(consumers, r)
		if err := poller.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	return poller, producers, consumers
}

// TestPollerReceivesAll takes the records of rings whose producers run beside
// each other, and the end of each stream.
func TestPollerReceivesAll(t *testing.T) {
	const rings, records = 3, 5000 // several times what the rings hold
	for _, wait := range []client.WaitStrategy{"", client.WaitSpin, client.WaitYield, client.WaitPark} {
		t.Run("wait="+string(wait), func(t *testing.T) {
			c := dialDaemon(t, startDaemon(t))
			poller, producers, consumers := polled(t, c, rings, wait)
			sent := make(chan error, rings)
			for _, p := range producers {
				go func() {
					for n := range records {
						if err := p.Send(context.Background(), fmt.Append(nil, n)); err != nil {
							sent <- err
							return
						}
						if n%100 == 0 {
							time.Sleep(time.Millisecond) // let the reader run dry, and sleep
						}
					}
					sent <- p.End(context.Background())
				}()
			}
			next := map[*client.Consumer]int{}
			for poller.Len() > 0 {
				r, err := poller.Wait(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				switch record, err := r.TryReceive(); {
				case err == client.ErrEmpty:
				case errors.Is(err, client.ErrEndOfStream):
					poller.Remove(r)
				case err != nil || string(record.Payload) != fmt.Sprint(next[r]):
					t.Fatalf("%s, record %d: got %q, %v", r.ID(), next[r], record.Payload, err)
				default:
					next[r]++
				}
			}
			for i := range rings {
				if err := <-sent; err != nil {
					t.Error(err)
				}
				if next[consumers[i]] != records {
					t.Errorf("ring %d ended after %d records, want %d", i, next[consumers[i]], records)
				}
			}
			if _, err := poller.Wait(t.Context()); err != client.ErrEmpty {
				t.Errorf("with no consumer left: got %v", err)
			}
		})
	}
}

// TestPollerTakesTurns among consumers that all have records.
func TestPollerTakesTurns(t *testing.T) {
	poller, producers, consumers := polled(t, dialDaemon(t, startDaemon(t)), 3, "")
	for _, p := range producers {
		sendNumbers(t, p, 0, 10)
	}
	seen := map[*client.Consumer]int{}
	for range 15 {
		r, err := poller.Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantNumbers(t, r, seen[r], seen[r]+1)
		seen[r]++
	}
	for _, r := range consumers {
		if seen[r] != 5 {
			t.Errorf("%s had %d turns of 15, want 5", r.ID(), seen[r])
		}
	}
}

// wantNews waits for a consumer that has something to say, and returns what its
// TryReceive says.
func wantNews(t *testing.T, p *client.Poller) (*client.Consumer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitMax)
	defer cancel()
	for {
		r, err := p.Wait(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.TryReceive(); err != client.ErrEmpty {
			return r, err
		}
	}
}

// TestPollerTellsEnds of consumers that will have no more records, while it
// sleeps and while it spins.
func TestPollerTellsEnds(t *testing.T) {
	for _, wait := range []client.WaitStrategy{client.WaitPark, client.WaitSpin} {
		d := startDaemon(t)
		c := dialDaemon(t, d)
		poller, producers, consumers := polled(t, c, 4, wait)
		for _, p := range producers {
			if err := p.Close(); err != nil { // or the last end would be theirs, too
				t.Fatal(err)
			}
		}
		ends := []struct {
			is  error
			end func() error
		}{
			{client.ErrClosed, func() error { return consumers[0].Close() }},
			{client.ErrDetached, func() error { return c.Detach(t.Context(), consumers[1].ID()) }},
			{client.ErrRemoved, func() error { return c.RemoveRing(t.Context(), "r2", true) }},
			{client.ErrLost, func() error {
				d.kill()
				return errors.Join(os.RemoveAll(filepath.Join(d.base, "rings")), d.start())
			}},
		}
		for i, end := range ends {
			what := fmt.Sprintf("%s: consumer %d", wait, i)
			if err := end.end(); err != nil {
				t.Fatal(err)
			}
			for range 2 { // until it is removed
				r, err := wantNews(t, poller)
				if r != consumers[i] {
					t.Fatalf("%s: got %s, want %s", what, r.ID(), consumers[i].ID())
				}
				wantError(t, what, err, end.is)
			}
			poller.Remove(consumers[i])
			poller.Remove(consumers[i]) // is no error
			if n := poller.Len(); n != len(ends)-1-i {
				t.Errorf("%s: %d consumers are left", what, n)
			}
		}
	}
}

// TestPollerEndsWithItsContext is about a wait that nothing else ends.
func TestPollerEndsWithItsContext(t *testing.T) {
	c := dialDaemon(t, startDaemon(t))
	poller, producers, consumers := polled(t, c, 2, "")
	ctx, cancel := context.WithCancelCause(t.Context())
	waits := make(chan error)
	go func() {
		_, err := poller.Wait(ctx)
		waits <- err
	}()
	why := errors.New("enough")
	cancel(why)
	wantError(t, "wait", <-waits, why)
	// What is taken out can be used without it, and what stays is waited for still.
	poller.Remove(consumers[0])
	sendNumbers(t, producers[0], 0, 1)
	sendNumbers(t, producers[1], 0, 1)
	wantNumbers(t, consumers[0], 0, 1)
	if r, err := poller.Wait(t.Context()); err != nil || r != consumers[1] {
		t.Errorf("got %v, %v", r, err)
	}
	if err := poller.Add(consumers[0]); err != nil {
		t.Errorf("add again: %v", err)
	}
}

func TestPollerRefusals(t *testing.T) {
	c := dialDaemon(t, startDaemon(t))
	createRing(t, c, "md")
	parked := consumer(t, c, "md", client.ConsumerOptions{WaitStrategy: client.WaitPark})
	spun := consumer(t, c, "md", client.ConsumerOptions{WaitStrategy: client.WaitSpin})
	for _, tc := range []struct {
		wait client.WaitStrategy
		add  *client.Consumer
		says string // "" for none
	}{
		{"", spun, "nobody wakes it"}, {client.WaitPark, spun, "nobody wakes it"},
		{client.WaitSpin, spun, ""}, {client.WaitYield, spun, ""}, {client.WaitSpin, parked, ""}, {"", parked, ""},
		{"nap", parked, "nap"},
	} {
		err := client.NewPoller(client.PollerOptions{WaitStrategy: tc.wait}).Add(tc.add)
		if tc.says == "" && err != nil || tc.says != "" && err == nil {
			t.Errorf("poller %q, consumer %s: got %v", tc.wait, tc.add.ID(), err)
		} else if err != nil {
			wantError(t, string(tc.wait), err, err, tc.says)
		}
	}
	poller := client.NewPoller(client.PollerOptions{})
	if err := poller.Add(parked); err != nil {
		t.Fatal(err)
	}
	if err := poller.Add(parked); err == nil || poller.Len() != 1 {
		t.Errorf("added twice: got %v, %d consumers", err, poller.Len())
	}
}

// TestPollerLimit fills a Poller with readers of two rings, and waits with it.
func TestPollerLimit(t *testing.T) {
	c := dialDaemon(t, startDaemon(t))
	poller := client.NewPoller(client.PollerOptions{WaitStrategy: client.WaitPark})
	slots := 64
	var last *client.Consumer
	for n := 0; n <= client.PollerConsumersMax; n++ {
		ring := fmt.Sprint("r", n/slots)
		if n%slots == 0 {
			createSpec(t, c, client.RingSpec{Name: ring, Capacity: 64 << 10, ConsumersMax: &slots})
		}
		r := consumer(t, c, ring, client.ConsumerOptions{WaitStrategy: client.WaitPark})
		err := poller.Add(r)
		if full := n == client.PollerConsumersMax; full != (err != nil) {
			t.Fatalf("consumer %d of at most %d: got %v", n+1, client.PollerConsumersMax, err)
		}
		if err == nil {
			last = r
		}
	}
	done := make(chan error)
	go func() {
		r, err := poller.Wait(t.Context())
		if err == nil {
			_, err = r.TryReceive()
		}
		done <- err
	}()
	p := producer(t, c, last.Ring().Name, client.ProducerOptions{})
	sendNumbers(t, p, 0, 1)
	if err := <-done; err != nil {
		t.Errorf("a full poller: %v", err)
	}
}
