package docs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const strategyRings = "[{name: md, capacity: 16MiB}, {name: orders, capacity: 1MiB, producers: many, checksum: true, resume_for: 30s}, {name: fills, capacity: 64KiB}]"

// play starts a role of examples/strategy.
func play(p harness.Place, args ...string) *harness.Process {
	p.T.Helper()
	return harness.Launch(p.T, exec.Command(strategyProgram(), append([]string{"-socket", p.Socket}, args...)...))
}

// journalOf counts the orders in a gateway's journal by their strategy; each is to
// be there once.
func journalOf(t *testing.T, path string) map[int]int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	counts, seen := map[int]int{}, map[string]bool{}
	for line := range strings.Lines(string(text)) {
		var epoch, position, id uint64
		var strategy int
		var price int64
		if _, err := fmt.Sscan(line, &epoch, &position, &strategy, &id, &price); err != nil {
			t.Fatalf("line %q of the journal: %v", line, err)
		}
		if key := fmt.Sprint(strategy, id); seen[key] {
			t.Errorf("order %d of strategy %d is in the journal twice", id, strategy)
		} else {
			seen[key] = true
		}
		counts[strategy]++
	}
	return counts
}

// TestStrategyOutlivesItsGatewayAndItsDaemon kills both while orders flow. A reader
// of the fills that does not read has the gateway die between writing an order down
// and filling it: the next one is given that order again.
func TestStrategyOutlivesItsGatewayAndItsDaemon(t *testing.T) {
	p := harness.NewPlace(t, binaries, strategyRings)
	d := p.Start()
	c := p.Dial()
	journal := filepath.Join(p.Root, "orders.log")
	gateway := play(p, "-journal", journal, "gateway")
	gateway.WaitSaid("resumed false, from position 0")
	brake, err := c.Consumer(harness.Bounded(t), "fills", client.ConsumerOptions{Policy: client.PolicyBlock})
	if err != nil {
		t.Fatal(err)
	}
	traders := []*harness.Process{play(p, "-id", "1", "trade"), play(p, "-id", "2", "trade")}
	harness.WaitAttached(t, c, "md", 2)
	feed := play(p, "-count", "1000000", "feed")
	harness.Eventually(t, "the gateway is held", func() bool { return harness.RingStats(t, c, "fills").HeldNS > 0 })
	gateway.Kill()
	before := journalOf(t, journal)
	d.Kill()
	if err := brake.Close(); err != nil {
		t.Fatal(err)
	}
	p.Start()
	gateway = play(p, "-journal", journal, "gateway")
	gateway.WaitSaid("resumed true")
	feed.Expect(0)
	for _, trader := range traders {
		trader.Expect(0)
	}
	gateway.Signal(syscall.SIGTERM)
	gateway.Expect(0)
	after := journalOf(t, journal)
	for i, trader := range traders {
		count, said := after[i+1], trader.Stdout.String()
		if want := fmt.Sprintf("strategy %d: %d orders sent, %d filled", i+1, count, count); !strings.HasPrefix(said, want) {
			t.Errorf("strategy %d has %d orders in the journal, and says %q", i+1, count, said)
		}
		if before[i+1] == 0 || before[i+1] >= count {
			t.Errorf("strategy %d had %d of its %d orders in the journal when the gateway was killed", i+1, before[i+1], count)
		}
		t.Logf("%d orders of strategy %d, %d of them before the kill", count, i+1, before[i+1])
	}
}

// TestStrategyGoesOnInANewRing: a ring that was removed is an error that names both
// epochs, and the example waits for the next one.
func TestStrategyGoesOnInANewRing(t *testing.T) {
	p := harness.NewPlace(t, binaries, strategyRings)
	p.Start()
	c := p.Dial()
	trader := play(p, "trade")
	before := harness.WaitAttached(t, c, "md", 1)[0].Epoch
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	if err := c.RemoveRing(ctx, "md", true); err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprintf("ring was removed: md of epoch %d; there is no ring of that name now", before)
	harness.Eventually(t, said, func() bool { return strings.Contains(trader.Stderr.String(), said) })
	if _, err := c.CreateRing(ctx, client.RingSpec{Name: "md", Capacity: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	if after := harness.WaitAttached(t, c, "md", 1)[0].Epoch; after == before {
		t.Errorf("it is attached to epoch %d still", after)
	}
	trader.Signal(syscall.SIGTERM)
	trader.Expect(0)
}

// TestStrategyPinsOneThread: the hot loop has its core, the other threads do not
// inherit it.
func TestStrategyPinsOneThread(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs two cores")
	}
	p := harness.NewPlace(t, binaries, strategyRings)
	p.Start()
	watch := play(p, "-cpu", "0", "watch")
	harness.WaitAttached(t, p.Dial(), "md", 1)
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", watch.PID()))
	if err != nil || len(paths) < 2 {
		t.Fatalf("its threads: %v, %v", paths, err)
	}
	pinned := 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "Cpus_allowed_list:\t0\n") {
			pinned++
		}
	}
	if pinned != 1 {
		t.Errorf("%d of %d threads are bound to core 0, want one", pinned, len(paths))
	}
}

// TestStrategyRefusesABadCommandLine and says what it wants.
func TestStrategyRefusesABadCommandLine(t *testing.T) {
	p := harness.NewPlace(t, binaries, "[]")
	for want, args := range map[string][]string{
		"want one role":      {"buy"},
		"want 1 to 65535":    {"-id", "65536", "trade"},
		"bind to core 10000": {"-cpu", "10000", "feed"},
	} {
		r := play(p, args...)
		if code := r.Wait(); code == 0 || !strings.Contains(r.Stderr.String(), want) {
			t.Errorf("%q: exit code %d, %q; want a refusal that says %q", args, code, r.Stderr, want)
		}
	}
}
