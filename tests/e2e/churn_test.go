package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	churners        = 4
	churnCycles     = 200 / churners // of each
	churnRecords    = 10
	churnTries      = 100                    // of one call, while daemons come and go
	daemonLifeMax   = 120 * time.Millisecond // after it is ready
	churnForEver    = 1 << 30
	churnRingConfig = "[{name: md, capacity: 64KiB, consumers_max: 16}]"
)

// churn creates rings, attaches, moves records, detaches and removes, again and
// again. Arguments: socket, a name, how many cycles.
func churn(args []string) error {
	ctx, cancel, c, err := roleDial(args[0])
	defer cancel()
	if err != nil {
		return err
	}
	cycles, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	for n := range cycles {
		ring := fmt.Sprintf("%s-%d", args[1], n)
		err := persist(client.ErrRingExists, func() error {
			_, err := c.CreateRing(ctx, client.RingSpec{Name: ring, Capacity: 64 << 10})
			return err
		})
		var p *client.Producer
		var r, other *client.Consumer
		try := func(attach func() error) {
			if err == nil {
				err = persist(nil, attach)
			}
		}
		try(func() (err error) { p, err = c.Producer(ctx, ring, client.ProducerOptions{}); return err })
		try(func() (err error) {
			r, err = c.Consumer(ctx, ring, client.ConsumerOptions{Policy: client.PolicyBlock})
			return err
		})
		try(func() (err error) { other, err = c.Consumer(ctx, "md", client.ConsumerOptions{}); return err })
		if err != nil {
			return fmt.Errorf("cycle %d: %w", n, err)
		}
		for i := range byte(churnRecords) {
			if err := p.Send(ctx, []byte{i}); err != nil {
				return fmt.Errorf("cycle %d: send: %w", n, err)
			}
		}
		for i := range byte(churnRecords) {
			if record, err := r.Receive(ctx); err != nil || len(record.Payload) != 1 || record.Payload[0] != i {
				return fmt.Errorf("cycle %d: received %v, %w, want %d", n, record.Payload, err, i)
			}
		}
		if err := errors.Join(p.Close(), r.Close(), other.Close()); err != nil {
			return fmt.Errorf("cycle %d: detach: %w", n, err)
		}
		// While the daemon was away, it could not be told of the detaching yet.
		if err := persist(client.ErrRingNotFound, func() error { return c.RemoveRing(ctx, ring, false) }); err != nil {
			return fmt.Errorf("cycle %d: remove: %w", n, err)
		}
		fmt.Println("cycle", n)
	}
	return c.Close()
}

// persist makes a call until it is carried out, though daemons die on it. done
// is the refusal that says it was carried out before.
func persist(done error, call func() error) error {
	var err error
	for range churnTries {
		err = call()
		switch {
		case err == nil || done != nil && errors.Is(err, done):
			return nil
		case errors.Is(err, client.ErrUnreachable), errors.Is(err, client.ErrNotReady), errors.Is(err, client.ErrRingInUse):
		default:
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("after %d tries: %w", churnTries, err)
}

// TestDaemonKilledDuringEverything kills daemons at random moments, while
// processes make every kind of call.
func TestDaemonKilledDuringEverything(t *testing.T) {
	t.Parallel()
	p := newPlace(t, churnRingConfig)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	d := p.Start()
	var working []*harness.Process
	for i := range churners {
		working = append(working, harness.Launch(t, p.Role("churn", fmt.Sprintf("steady%d", i), strconv.Itoa(churnCycles))))
	}
	// These are killed in the middle of whatever they do: one while a daemon
	// runs, the other while none does.
	doomed := []*harness.Process{
		harness.Launch(t, p.Role("churn", "doomed0", strconv.Itoa(churnForEver))),
		harness.Launch(t, p.Role("churn", "doomed1", strconv.Itoa(churnForEver))),
	}
	begin, kills := time.Now(), 0
	for ; slices.ContainsFunc(working, (*harness.Process).Running); kills++ {
		if time.Since(begin) > 4*harness.Patience {
			t.Fatalf("the cycles do not come to an end: %d daemons were killed", kills)
		}
		life := time.After(time.Duration(random.Int64N(int64(daemonLifeMax))))
		select {
		case <-life:
		case <-d.Ended:
			t.Fatalf("the daemon ended by itself: %v\n%s", d.Err, d.Stderr)
		}
		d.Kill()
		d = p.Start()
	}
	for _, w := range working {
		w.Expect(0)
		if n := strings.Count(w.Stdout.String(), "cycle"); n != churnCycles {
			t.Errorf("%d cycles, want %d", n, churnCycles)
		}
	}
	extra := 0
	for _, w := range doomed {
		if !w.Running() {
			t.Errorf("it ended early: %v", w.Err)
		}
		extra += strings.Count(w.Stdout.String(), "cycle")
	}
	doomed[0].Kill()
	d.Kill()
	doomed[1].Kill()
	p.Start()
	t.Logf("%d daemons killed during %d+%d cycles in %v", kills+1, churners*churnCycles, extra, since(begin))
	p.consistent()
}

// consistent checks that a daemon, with nobody attached, is in order.
func (p place) consistent() {
	t := p.T
	t.Helper()
	c := p.Dial()
	harness.Eventually(t, "no attachment is left", func() bool { return len(harness.Attachments(t, c, "")) == 0 })
	rings, err := c.Rings(harness.Bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".lock"}
	memory := uint64(0)
	for _, r := range rings {
		want = append(want, r.Name)
		memory += r.MemoryBytes
		files, err := filepath.Glob(filepath.Join(p.Dir, r.Name, "*"))
		if err != nil || len(files) != r.ConsumersMax+3 { // data, meta.json, slots
			t.Errorf("ring %s has %d files, want %d: %v, %v", r.Name, len(files), r.ConsumersMax+3, files, err)
		}
		if s := harness.RingStats(t, c, r.Name); s.Producers+s.Consumers != 0 || s.OccupancyBytes != 0 {
			t.Errorf("ring %s holds on to the dead: %+v", r.Name, s)
		}
		p.usable(c, r.Name)
	}
	var found []string
	for _, e := range entries {
		found = append(found, e.Name())
	}
	slices.Sort(found)
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("%s holds %q, want %q", p.Dir, found, want)
	}
	var s client.Status
	p.Object(&s, "status")
	if s.Rings != len(rings) || s.MemoryBytes != memory || s.Attachments != 0 || len(s.Problems)+len(s.Quarantined) != 0 {
		t.Errorf("status %+v; want %d rings, %d bytes, no attachment, no problem", s, len(rings), memory)
	}
}

// usable moves a record through a ring and takes every slot of it.
func (p place) usable(c *client.Client, ring string) {
	t := p.T
	t.Helper()
	producer, err := c.Producer(harness.Bounded(t), ring, client.ProducerOptions{})
	if err != nil {
		t.Fatalf("ring %s: %v", ring, err)
	}
	for slot := range producer.Ring().ConsumersMax {
		r, err := c.Consumer(harness.Bounded(t), ring, client.ConsumerOptions{})
		if err != nil {
			t.Fatalf("ring %s, reader %d: %v", ring, slot, err)
		}
		defer r.Close()
		if err := producer.Send(harness.Bounded(t), []byte(ring)); err != nil {
			t.Fatalf("ring %s: %v", ring, err)
		}
		if record, err := r.Receive(harness.Bounded(t)); err != nil || string(record.Payload) != ring {
			t.Fatalf("ring %s: %q, %v", ring, record.Payload, err)
		}
	}
	if err := producer.Close(); err != nil {
		t.Fatal(err)
	}
}
