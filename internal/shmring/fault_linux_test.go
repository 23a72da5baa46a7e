package shmring

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tmpfsRing makes a ring of real files.
func tmpfsRing(t *testing.T, c Config) *Ring {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "shmring-test-")
	if err != nil {
		t.Skip("needs a tmpfs at /dev/shm: ", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r, err := Create(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func openProducer(t *testing.T, r *Ring) *Producer {
	t.Helper()
	if err := r.BindProducer(0, Binding{Generation: 1}); err != nil {
		t.Fatal(err)
	}
	data, cursors, err := r.LendProducer()
	if err != nil {
		t.Fatal(err)
	}
	p, err := OpenProducer(data, cursors, ProducerOptions{Generation: 1, Wait: WaitPark})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func openConsumer(t *testing.T, r *Ring, slot int, policy Policy) *Consumer {
	t.Helper()
	if err := r.BindConsumer(slot, Binding{Generation: 1, Policy: policy, DemoteAfter: time.Second, Parks: true}); err != nil {
		t.Fatal(err)
	}
	data, cursor, err := r.LendConsumer(slot)
	if err != nil {
		t.Fatal(err)
	}
	c, err := OpenConsumer(data, cursor, ConsumerOptions{Slot: slot, Generation: 1, Policy: policy, Wait: WaitPark})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestFilesRoundTrip(t *testing.T) {
	r := tmpfsRing(t, testConfig(CapacityBytesMin))
	p, c := openProducer(t, r), openConsumer(t, r, 0, PolicyBlock)
	mustSend(t, p, []byte("through files"))
	mustReceive(t, c, []byte("through files"))
	again, err := Open(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	s, err := again.Stats()
	if err != nil || s.Sequence != 1 || s.Position != p.Position() || s.Consumers != 1 || s.Producers != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	if again.Config() != r.Config() || r.Config().Key == 0 {
		t.Fatalf("%+v, %+v", again.Config(), r.Config())
	}
	c.tell()
	if cs, err := again.ConsumerStats(0); err != nil || cs.Policy != PolicyBlock || !cs.Gating {
		t.Fatalf("%+v %v", cs, err)
	}
}

// The data fd of a reader can never be written through, mapped or not.
func TestReaderCannotWriteData(t *testing.T) {
	r := tmpfsRing(t, testConfig(CapacityBytesMin))
	data, cursor, err := r.LendConsumer(0)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	defer cursor.Close()
	if _, err := unix.Mmap(int(data.Fd()), 0, 4096, unix.PROT_WRITE, unix.MAP_SHARED); !errors.Is(err, unix.EACCES) {
		t.Errorf("mapping it writable: %v", err)
	}
	b, err := unix.Mmap(int(data.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	if err := unix.Mprotect(b, unix.PROT_READ|unix.PROT_WRITE); !errors.Is(err, unix.EACCES) {
		t.Errorf("making the mapping writable: %v", err)
	}
	if err := data.Truncate(0); err == nil {
		t.Error("it could be truncated")
	}
	if _, err := data.WriteAt([]byte{1}, 0); err == nil {
		t.Error("it could be written")
	}
}

// A producer that truncates the data file costs everybody an error, nobody a crash.
func TestTruncatedData(t *testing.T) {
	r := tmpfsRing(t, testConfig(CapacityBytesMin))
	p, c := openProducer(t, r), openConsumer(t, r, 0, PolicyBlock)
	skip := openConsumer(t, r, 1, PolicySkip)
	mustSend(t, p, []byte("x"))
	if err := r.data.Truncate(0); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for name, call := range map[string]func() error{
		"Send":       func() error { return p.Send(ctx, []byte("y")) },
		"Reserve":    func() error { _, err := p.Reserve(ctx, 1); return err },
		"SendBatch":  func() error { _, err := p.SendBatch(ctx, [][]byte{nil}); return err },
		"End":        func() error { return p.End(ctx) },
		"Receive":    func() error { _, err := c.Receive(ctx); return err },
		"TryReceive": func() error { _, err := skip.TryReceive(); return err },
		"Poll":       func() error { _, err := skip.Poll(func(Record) error { return nil }, 1); return err },
		"Stats":      func() error { _, err := r.Stats(); return err },
		"Repair":     func() error { _, err := r.Repair(0); return err },
		"Bind":       func() error { return r.BindConsumer(2, Binding{Generation: 1, Policy: PolicySkip}) },
		"SetState":   func() error { return r.SetState(StateCorrupt) },
	} {
		if err := call(); !errors.Is(err, ErrFault) {
			t.Errorf("%s: %v, want ErrFault", name, err)
		}
	}
}

// A view that faults under user code is contained inside Poll; a panic of user
// code is not swallowed.
func TestPollFault(t *testing.T) {
	r := tmpfsRing(t, testConfig(CapacityBytesMin))
	p, c := openProducer(t, r), openConsumer(t, r, 0, PolicyBlock)
	mustSend(t, p, make([]byte, 100))
	_, err := c.Poll(func(rec Record) error {
		if err := r.data.Truncate(0); err != nil {
			t.Fatal(err)
		}
		return errors.New(string(rec.Payload[:1]))
	}, 1)
	if !errors.Is(err, ErrFault) {
		t.Fatal(err)
	}
	h := newHeapRing(t, testConfig(CapacityBytesMin))
	hp, hc := h.producer(t, ProducerOptions{}), h.consumer(t, 0, PolicyBlock, ConsumerOptions{})
	mustSend(t, hp, nil)
	defer func() {
		if r := recover(); r != "mine" {
			t.Fatalf("recovered %v", r)
		}
	}()
	hc.Poll(func(Record) error { panic("mine") }, 1)
}

// A reader that truncates its own page is evicted; the feed and the other
// readers go on.
func TestTruncatedCursorPage(t *testing.T) {
	r := tmpfsRing(t, testConfig(CapacityBytesMin))
	p := openProducer(t, r)
	bad, good := openConsumer(t, r, 0, PolicyBlock), openConsumer(t, r, 1, PolicyBlock)
	mustSend(t, p, payload(0, 100))
	mustReceive(t, bad, payload(0, 100))
	mustReceive(t, good, payload(0, 100))
	if err := r.pages[0].Truncate(0); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < 1000; i++ {
		if err := p.Send(context.Background(), payload(i, 500)); err != nil {
			t.Fatal(i, err)
		}
		mustReceive(t, good, payload(i, 500))
	}
	if p.Stats().Records != 1000 {
		t.Fatalf("%d records were published", p.Stats().Records)
	}
	if _, err := bad.TryReceive(); err == nil {
		t.Fatal("the reader without a page read on")
	}
	if s, err := r.Stats(); err != nil || s.Sequence != 1000 || s.Demotions != 1 {
		t.Fatalf("%+v %v", s, err)
	}
	if err := r.UnbindConsumer(0); err != nil {
		t.Fatal(err)
	}
	if err := r.BindConsumer(0, Binding{Generation: 2, Policy: PolicySkip}); err != nil {
		t.Fatal("the slot cannot be lent again:", err)
	}
}

// Garbage in any word of the data file is an error or a wrong record for those
// on that ring; never a panic, a hang or an access outside.
func TestGarbage(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 400 {
		h := newHeapRing(t, testConfig(CapacityBytesMin))
		p := h.producer(t, ProducerOptions{OnFull: OnFullFail})
		readers := []*Consumer{h.consumer(t, 0, PolicyBlock, ConsumerOptions{}), h.consumer(t, 1, PolicyDemote, ConsumerOptions{}), h.consumer(t, 2, PolicySkip, ConsumerOptions{})}
		for i := range 100 {
			for range rng.IntN(4) {
				off := uint64(rng.IntN(int(dataOff+4096)/8)) * 8
				store64(h.b, off, rng.Uint64()>>rng.IntN(64))
			}
			if rng.IntN(4) == 0 {
				page := h.m.cursors[rng.IntN(3)]
				store64(page, uint64(rng.IntN(64))*8, rng.Uint64()>>rng.IntN(64))
			}
			_ = p.TrySend(bytes.Repeat([]byte{byte(i)}, rng.IntN(3000)))
			for _, c := range readers {
				for range 3 {
					_, _ = c.TryReceive()
				}
				_, _ = c.Poll(func(r Record) error { _ = len(r.Payload); return nil }, 5)
			}
			_, _ = h.Stats()
			_, _ = h.Repair(0)
			_, _ = h.tryConsumer(3, PolicySkip, ConsumerOptions{From: FromPosition(rng.Uint64() >> rng.IntN(64))})
		}
		q := newProducer(h.b, h.m.cursors, h.config, ProducerOptions{})
		_ = q.resumeGuarded()
	}
}

func TestOpenRefusals(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); !errors.Is(err, ErrNotRing) {
		t.Errorf("empty folder: %v", err)
	}
	if err := os.WriteFile(dir+"/data", []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrNotRing) {
		t.Errorf("short file: %v", err)
	}
	r := tmpfsRing(t, testConfig(CapacityBytesMin))
	if err := os.Remove(r.cursorPath(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(r.dir); !errors.Is(err, ErrCorrupt) {
		t.Errorf("missing cursor page: %v", err)
	}
	if _, err := Create(r.dir, testConfig(CapacityBytesMin)); err == nil {
		t.Error("a folder that holds a ring was made a ring again")
	}
}
