package limits

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	// heapSlackBytes is by how much the settled heap of a daemon may differ: calls that
	// are under way have some, and maps that have grown keep their buckets. What leaks
	// less than that in all is seen by tests/soak.
	heapSlackBytes = 3 << 19
	// ownSlackBytes is by how much the memory of its own may: the runtime gives pages
	// back late.
	ownSlackBytes = 6 << 20
	// threadsSlack is how many threads more the Go runtime may have started. It keeps
	// them, and their number does not grow with the cycles.
	threadsSlack = 4
	// goroutinesSlack are those of a scrape: it takes what it takes at that moment.
	goroutinesSlack = 3
	killersMax      = 4 // processes that are started and killed at a time
)

// leftovers is what a daemon has when nothing goes on.
type leftovers struct {
	harness.Usage
	goroutines, heap float64
}

// TestNothingIsLeft counts what the daemon has, lets everything come and go
// thousands of times, and counts again.
func TestNothingIsLeft(t *testing.T) {
	harness.NeedRoot(t, "to mount a tmpfs")
	s := startScene(t, "size=64m", "{name: md, capacity: 64KiB, producers: many, consumers_max: 16}", nil, gatewayYAML)
	s.exchange()
	for _, c := range []struct {
		what  string
		times int
		cycle func(t *testing.T, times int)
	}{
		{"attached and detached, in all roles", 10_000, s.attachAndDetach},
		{"rings made and removed", 1_000, s.createAndRemove},
		{"connections opened and closed", 2_000, s.openAndClose},
		{"clients killed", 1_000, s.startAndKill},
		{"remote clients", 1_000, s.connectFromAfar},
	} {
		times := c.times
		if !*full {
			times /= 10
		}
		c.cycle(t, min(times, 100)) // what is made once and kept is made now
		before, begin := s.settled(), time.Now()
		c.cycle(t, times)
		took := time.Since(begin)
		after := s.settledTo(before)
		if err := checkLeft(before, after); err != nil {
			t.Errorf("%d %s: %v", times, c.what, err)
		}
		fmt.Printf("counts: leaks: %d %s in %v: descriptors %+d, goroutines %+.0f, threads %+d, maps %+d, heap %+.0f KiB, RSS %+d KiB\n",
			times, c.what, took.Round(10*time.Millisecond), after.Files-before.Files, after.goroutines-before.goroutines,
			after.Threads-before.Threads, after.Maps-before.Maps, (after.heap-before.heap)/1024, (after.ResidentBytes-before.ResidentBytes)/1024)
	}
	s.exchange()
	s.healthy()
}

// checkLeft says whether there is more than there was.
func checkLeft(before, after leftovers) error {
	switch {
	case after.Files > before.Files, after.goroutines > before.goroutines+goroutinesSlack, after.Threads > before.Threads+threadsSlack,
		after.heap > before.heap+heapSlackBytes, after.OwnBytes > before.OwnBytes+ownSlackBytes:
		return fmt.Errorf("the daemon has %+v, and had %+v", after, before)
	}
	return nil
}

// TestLeftIsChecked shows that checkLeft sees what it should, one at a time.
func TestLeftIsChecked(t *testing.T) {
	before := leftovers{Usage: harness.Usage{Files: 50, Threads: 8, OwnBytes: 10 << 20}, goroutines: 20, heap: 2 << 20}
	for _, change := range []func(*leftovers){
		func(l *leftovers) { l.Files++ },
		func(l *leftovers) { l.goroutines += goroutinesSlack + 1 },
		func(l *leftovers) { l.Threads += threadsSlack + 1 },
		func(l *leftovers) { l.heap += heapSlackBytes + 1 },
		func(l *leftovers) { l.OwnBytes += ownSlackBytes + 1 },
	} {
		after := before
		change(&after)
		if checkLeft(before, after) == nil {
			t.Errorf("%+v passed for %+v", after, before)
		}
	}
}

// settled counts once the daemon has collected its garbage: scrapes make some, until
// some collections are over. The size at which the runtime collects next tells what
// was in use at the last one: it is twice that, and 4 MiB at least.
func (s *scene) settled() leftovers {
	s.t.Helper()
	const collections = 3
	first := s.scrape()
	least := first["go_memstats_next_gc_bytes{}"]
	for now := first; now["go_gc_duration_seconds{}"] < first["go_gc_duration_seconds{}"]+collections; {
		now = s.scrape()
		least = min(least, now["go_memstats_next_gc_bytes{}"])
	}
	return leftovers{harness.UsageOf(s.t, s.PID()), s.scrape()["go_goroutines{}"], least / 2}
}

// settledTo is settled when what has been given up is gone: a daemon may take a
// while to see that somebody has left.
func (s *scene) settledTo(before leftovers) (after leftovers) {
	s.t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		u := harness.UsageOf(s.t, s.PID())
		if u.Files <= before.Files && s.scrape()["go_goroutines{}"] <= before.goroutines+goroutinesSlack || time.Now().After(deadline) {
			return s.settled()
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// attachAndDetach attaches as a producer and as readers of every policy.
func (s *scene) attachAndDetach(t *testing.T, times int) {
	policies := []client.Policy{client.PolicyBlock, client.PolicyDemote, client.PolicySkip, client.PolicyLatest}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for n := range times {
		if n%5 == 4 {
			p, err := s.c.Producer(ctx, "md", client.ProducerOptions{})
			s.must(err)
			s.must(p.Close())
			continue
		}
		r, err := s.c.Consumer(ctx, "md", client.ConsumerOptions{Policy: policies[n%5]})
		s.must(err)
		s.must(r.Close())
	}
}

func (s *scene) createAndRemove(t *testing.T, times int) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for n := range times {
		name := fmt.Sprint("temporary", n)
		_, err := s.c.CreateRing(ctx, client.RingSpec{Name: name, Capacity: 64 << 10})
		s.must(err)
		s.must(s.c.RemoveRing(ctx, name, false))
	}
}

func (s *scene) openAndClose(_ *testing.T, times int) {
	for range times {
		s.must(s.connect())
	}
}

// startAndKill starts clients that attach twice and kills them.
func (s *scene) startAndKill(t *testing.T, times int) {
	var killers sync.WaitGroup
	errs := make(chan error, killersMax)
	for k := range killersMax {
		killers.Go(func() {
			for range (times + k) / killersMax {
				if err := s.killOne(); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	killers.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	harness.Eventually(t, "their attachments are gone", func() bool { return len(harness.Attachments(t, s.c, "md")) == 0 })
}

func (s *scene) killOne() error {
	cmd := s.Place.Role("victim")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	if _, err := fmt.Fscanln(out, new(string)); err != nil {
		_ = cmd.Wait()
		return fmt.Errorf("a client that was to be killed: %w", err)
	}
	err = cmd.Process.Kill()
	_ = cmd.Wait() // says that it was killed
	return err
}

func (s *scene) connectFromAfar(_ *testing.T, times int) {
	for range times {
		s.must(s.produceFromAfar())
	}
}

// TestClientLeavesNothing is the same for a process that attaches.
func TestClientLeavesNothing(t *testing.T) {
	p := harness.NewPlace(t, binaries, "[{name: md, capacity: 64KiB, producers: many, allow: {}}]", gatewayYAML)
	p.Start()
	cycle := func() {
		c, err := client.Dial(harness.Bounded(t), client.Options{Socket: p.Socket})
		if err != nil {
			t.Fatal(err)
		}
		producer, err := c.Producer(harness.Bounded(t), "md", client.ProducerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{Policy: client.PolicyBlock})
		if err != nil {
			t.Fatal(err)
		}
		if err := producer.Send(harness.Bounded(t), []byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Receive(harness.Bounded(t)); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil { // closes them, too
			t.Fatal(err)
		}
	}
	cycles := 2000
	if !*full {
		cycles /= 10
	}
	for range 20 {
		cycle()
	}
	before, goroutines := harness.UsageOf(t, os.Getpid()), runtime.NumGoroutine()
	for range cycles {
		cycle()
	}
	after := harness.UsageOf(t, os.Getpid())
	const mapsSlack = 8 // of the Go runtime
	if after.Files > before.Files || after.Maps > before.Maps+mapsSlack || runtime.NumGoroutine() > goroutines || after.Threads > before.Threads+threadsSlack {
		t.Errorf("after %d cycles a client has %+v and %d goroutines, and had %+v and %d", cycles, after, runtime.NumGoroutine(), before, goroutines)
	}
	fmt.Printf("counts: leaks: a client that dialled and attached %d times: descriptors %+d, goroutines %+d, threads %+d, maps %+d\n",
		cycles, after.Files-before.Files, runtime.NumGoroutine()-goroutines, after.Threads-before.Threads, after.Maps-before.Maps)
}
