package shmring

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// A door sleeps for readers: what comes while it sleeps wakes it, what
// came before does not let it sleep.
func TestDoor(t *testing.T) {
	const rings, rounds = 5, 400
	d := NewDoor()
	var readers []*Consumer
	var producers []*Producer
	for range rings {
		r, err := CreatePrivate(testConfig(CapacityBytesMin), Boundary{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		c := lendConsumer(t, r, 0, PolicyBlock, ConsumerOptions{Spans: true})
		if err := d.Add(c); err != nil {
			t.Fatal(err)
		}
		readers, producers = append(readers, c), append(producers, openProducer(t, r))
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	done := make(chan error)
	turn := make(chan struct{}, 1)
	go func() {
		rng := rand.New(rand.NewPCG(seed, 1))
		for i := range rounds {
			if rng.IntN(2) == 0 {
				time.Sleep(time.Duration(rng.IntN(300)) * time.Microsecond)
			}
			if err := producers[rng.IntN(rings)].Send(context.Background(), payload(i, 64)); err != nil {
				done <- err
				return
			}
			<-turn
		}
		done <- nil
	}()
	got := 0
	for got < rounds {
		idle := d.Arm()
		began := time.Now()
		if idle {
			d.Sleep(10 * time.Second)
		}
		if time.Since(began) > 5*time.Second {
			t.Fatal("a wake-up was lost")
		}
		d.Disarm()
		for _, c := range readers {
			if s, err := c.NextSpan(1 << 20); err == nil {
				got += int(s.Records)
				turn <- struct{}{}
			} else if err != ErrEmpty {
				t.Fatal(err)
			}
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	mustSend(t, producers[0], nil)
	if d.Arm() {
		t.Fatal("what came before Arm lets it sleep")
	}
	d.Disarm()
	for _, c := range readers {
		if load32(c.page, cuSleep)&1 != 0 {
			t.Fatal("a reader is left asleep")
		}
	}
}

// sleeps runs one Sleep in a goroutine; what it returns says how long it took.
func (d *Door) sleeps(limit time.Duration) <-chan time.Duration {
	took := make(chan time.Duration)
	go func() {
		began := time.Now()
		d.Sleep(limit)
		took <- time.Since(began)
	}()
	return took
}

func TestDoorKnock(t *testing.T) {
	d := NewDoor()
	d.Knock() // before the next sleep
	if !d.Arm() {
		t.Fatal("news of nobody")
	}
	if took := <-d.sleeps(10 * time.Second); took > 5*time.Second {
		t.Fatal("a knock before Sleep was lost")
	}
	d.Disarm()
	if !d.Arm() {
		t.Fatal("news of nobody")
	}
	if took := <-d.sleeps(20 * time.Millisecond); took < 10*time.Millisecond {
		t.Fatalf("slept %v, nobody had knocked", took)
	}
	asleep := d.sleeps(10 * time.Second)
	time.Sleep(5 * time.Millisecond)
	d.Knock()
	if took := <-asleep; took > 5*time.Second {
		t.Fatal("a knock in a Sleep was lost")
	}
	d.Disarm()

	// Added, removed and closed while it sleeps.
	r, err := CreatePrivate(testConfig(CapacityBytesMin), Boundary{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := lendConsumer(t, r, 0, PolicyBlock, ConsumerOptions{Spans: true})
	for _, change := range []func() error{
		func() error { return d.Add(c) },
		func() error { d.Remove(c); return c.Close() },
	} {
		if !d.Arm() {
			t.Fatal("news of nobody")
		}
		asleep := d.sleeps(10 * time.Second)
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if took := <-asleep; took > 5*time.Second {
			t.Fatal("a change did not end the sleep")
		}
		d.Disarm()
	}
	for range DoorRingsMax {
		if err := d.Add(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Add(c); err == nil {
		t.Fatal("one more than fit")
	}
	if d.Arm() {
		t.Fatal("a closed reader has no news")
	}
}
