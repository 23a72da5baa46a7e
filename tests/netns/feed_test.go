package netns

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"brokerd/tests/internal/harness"
)

// feedTime is over how long the feed is published.
const feedTime = 6 * time.Second

// scenario is one way to disturb the network, or the daemons, while the feed is
// published at host a and mirrored to the others.
type scenario struct {
	name     string
	hosts    int
	tls      bool
	capacity string
	lossy    bool // the ring is too small for what happens: gaps are expected
	disturb  func(w *world, ctx context.Context)
}

// world is a scenario that runs.
type world struct {
	*network
	hosts []*host
	rng   *rand.Rand
	cuts  int // how often it was disturbed
}

// every does something to a host, drawn by the seed, again and again until ctx ends.
func (w *world) every(ctx context.Context, d time.Duration, do func(host int)) {
	for harness.Sleep(ctx, d) {
		do(w.rng.IntN(len(w.hosts)))
		w.cuts++
	}
}

func scenarios() []scenario {
	const holdsAll = "64MiB"
	quiet := func(*world, context.Context) {}
	partition := func(w *world, ctx context.Context) {
		if harness.Sleep(ctx, time.Second) {
			w.partition(1, 5*time.Second)
			w.cuts++
		}
	}
	resets := func(w *world, ctx context.Context) { w.every(ctx, 200*time.Millisecond, w.reset) }
	loss := func(w *world, ctx context.Context) {
		for h := range w.hosts {
			w.filter(h, "numgen random mod 100 < 10 drop")
		}
		<-ctx.Done()
		w.cuts++
		w.heal()
	}
	kills := func(w *world, ctx context.Context) { w.every(ctx, time.Second, func(h int) { w.hosts[h].kill() }) }
	return []scenario{
		{"quiet", 2, false, holdsAll, false, quiet},
		{"partition", 2, false, holdsAll, false, partition},
		{"resets", 2, false, holdsAll, false, resets},
		{"loss", 2, false, holdsAll, false, loss},
		{"kills", 2, false, holdsAll, false, kills},
		{"partition-gap", 2, false, "1MiB", true, partition},
		{"tls-quiet-three", 3, true, holdsAll, false, quiet},
		{"tls-partition", 2, true, holdsAll, false, partition},
		{"tls-resets-three", 3, true, holdsAll, false, resets},
		{"tls-loss", 2, true, holdsAll, false, loss},
		{"tls-kills-three", 3, true, holdsAll, false, kills},
		{"tls-partition-gap", 2, true, "1MiB", true, partition},
	}
}

// TestWholeFeed mirrors the whole feed through each scenario. Where the origin held
// all of it every reader has every record; where not, the gaps have the exact count.
func TestWholeFeed(t *testing.T) {
	harness.NeedRoot(t, "to make network namespaces")
	all := lines(harness.Feed(t))
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.run(t, all)
		})
	}
}

func (s scenario) run(t *testing.T, all [][]byte) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &world{network: newNetwork(t, s.hosts), rng: rand.New(rand.NewPCG(seed, 0))}
	keys := func(string) string { return "off" }
	if s.tls {
		pki := harness.NewAuthority(t, binaries)
		keys = func(name string) string { return pki.Issue(name) }
	}
	w.place(s, keys)
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()

	readers := make([]seen, s.hosts)
	failures := make([]error, s.hosts+1)
	var running sync.WaitGroup
	for i := 1; i < s.hosts; i++ {
		running.Go(func() { readers[i], failures[i] = check(ctx, w.hosts[i], "feed", all) })
	}
	w.waitReaders()
	disturbed, calm := context.WithTimeout(ctx, feedTime)
	running.Go(func() {
		failures[0] = publish(ctx, w.hosts[0], "feed", all, feedTime)
		calm()
	})
	s.disturb(w, disturbed) // here, since it may fail the test
	running.Wait()
	for _, err := range failures {
		if err != nil {
			t.Error(err)
		}
	}
	for i := 1; i < s.hosts; i++ {
		r := readers[i]
		t.Logf("counts: host %s: %d delivered, %d in gaps, %d disturbances", w.hosts[i].name, r.delivered, r.gaps, w.cuts)
		if !s.lossy && r.delivered != uint64(len(all)) || s.lossy && r.gaps == 0 {
			t.Errorf("host %s: %+v of %d", w.hosts[i].name, r, len(all))
		}
	}
	if s.name != "quiet" && s.name != "tls-quiet-three" && w.cuts == 0 {
		t.Error("nothing was disturbed")
	}
}

// place starts the daemons: the feed is host a's, the others mirror it.
func (w *world) place(s scenario, keys func(name string) string) {
	everybody := "{users: [root]}"
	rings := fmt.Sprintf("[{name: feed, capacity: %s, demote_after: 100ms, allow: {produce: %[2]s, consume: %[2]s, gate: %[2]s}}]", s.capacity, everybody)
	peers := ""
	for i := 1; i < s.hosts; i++ {
		peers += fmt.Sprintf("    - {name: %c}\n", 'a'+i)
	}
	listen := fmt.Sprintf("  listen: %s:%d\n  export: [feed]\n  peers:\n%s", w.address(0), gatewayPort, peers)
	mirror := fmt.Sprintf("  peers:\n    - {name: a, address: %q, mirror: [{ring: feed, allow: {consume: %s, gate: %s}}]}\n",
		fmt.Sprintf("%s:%d", w.address(0), gatewayPort), everybody, everybody)
	for i := range s.hosts {
		if i == 0 {
			w.hosts = append(w.hosts, w.newHost(i, keys, rings, listen))
		} else {
			w.hosts = append(w.hosts, w.newHost(i, keys, "[]", mirror))
		}
		w.hosts[i].start()
	}
}

// waitReaders waits until each mirror has its reader, so that nothing is published
// before.
func (w *world) waitReaders() {
	for _, h := range w.hosts[1:] {
		c := h.Dial()
		harness.Eventually(w.t, "the mirror's reader", func() bool {
			list, err := c.Attachments(harness.Bounded(w.t), "feed")
			return err == nil && len(list) == 1
		})
	}
}
