package torture

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// Flags, behind -args.
var (
	seedFlag  = flag.Uint64("seed", 0, "seed of all choices, 0 for a new one")
	forFlag   = flag.Duration("for", 20*time.Second, "how long to torture at least")
	killsFlag = flag.Int("kills", 100, "how many kills there have to be; it goes on until there are")
)

// longerMax is how much longer than asked for the torture may go on for its kills.
const longerMax = 3

const kindDaemon = "daemons"

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

func TestMain(m *testing.M) {
	os.Exit(harness.Roles{roleProducer: victimOf(roleProducer), roleReader: victimOf(roleReader)}.Main(m, &binaries))
}

// torture is the whole of it.
type torture struct {
	hosts
	t     *testing.T
	dir   string // of books and logs
	seed  uint64
	rings []*ring
	lanes []*lane
	tally *tally
	// daemons is held for writing while a daemon is down or stopped.
	daemons sync.RWMutex
	ending  chan struct{} // closed when the lanes are to end
	drained chan struct{} // closed when nobody produces any more, and the rings have their targets

	published []published // of the tally
}

func TestTorture(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	dir, err := os.MkdirTemp("/dev/shm", "brokerd-torture-")
	if err != nil {
		t.Skipf("needs a tmpfs at /dev/shm: %v", err)
	}
	x := &torture{t: t, dir: dir, seed: seed, tally: newTally(), ending: make(chan struct{}), drained: make(chan struct{})}
	begin := time.Now()
	if err := x.startHosts(dir); err != nil {
		t.Fatal(err)
	}
	x.plan()
	x.whole()
	x.report(time.Since(begin))
}

// whole runs all of it.
func (t *torture) whole() {
	var reading, producing, consuming sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	for _, r := range t.rings {
		if err := t.keepTruth(ctx, r, &reading); err != nil {
			t.t.Fatal(err)
		}
	}
	for _, l := range t.lanes {
		run, group := t.run, &consuming
		if l.kind == "brokerctl" {
			run = t.runCtl
		}
		if l.role == roleProducer || l.hold || l.kind == "brokerctl" {
			group = &producing
		}
		group.Go(func() { run(l) })
	}
	t.killDaemons()
	begin := time.Now()
	close(t.ending)
	producing.Wait()
	t.t.Logf("nobody produces after %v", time.Since(begin))
	stats := t.drain()
	t.t.Logf("the rings and their mirrors are at their ends after %v", time.Since(begin))
	close(t.drained)
	consuming.Wait()
	t.t.Logf("so are the readers after %v", time.Since(begin))
	if !closed(t.tally.alarm) {
		t.judgeRings(stats)
	}
	stop()
	reading.Wait()
}

// keepTruth attaches the reader of the test.
func (t *torture) keepTruth(ctx context.Context, r *ring, group *sync.WaitGroup) error {
	policy := client.PolicyBlock
	if r.name == "loose" {
		policy = client.PolicySkip
	}
	asking, cancel := asking()
	defer cancel()
	c, err := t.a.calls.Consumer(asking, r.name, client.ConsumerOptions{Policy: policy, From: client.FromOldest(), WaitStrategy: client.WaitPark})
	if err != nil {
		return err
	}
	r.epoch = c.Epoch()
	group.Go(func() {
		for ctx.Err() == nil {
			rec, err := c.Receive(ctx)
			if err == nil {
				err = r.truth.add(rec, policy == client.PolicySkip)
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				r.truth.fail(err)
				t.tally.violation("ring %s, as the test reads it: %v", r.name, err)
				return
			}
		}
	})
	return nil
}

// killDaemons kills and stops the daemons, until there was enough of everything.
func (t *torture) killDaemons() {
	random := rand.New(rand.NewPCG(t.seed, 0))
	begin := time.Now()
	enough := func() bool {
		took := time.Since(begin)
		return closed(t.tally.alarm) || took > *forFlag && t.tally.sum() >= *killsFlag || took > longerMax**forFlag
	}
	for !enough() {
		select {
		case <-time.After(200*time.Millisecond + time.Duration(random.Int64N(int64(1500*time.Millisecond)))):
		case <-t.tally.alarm:
			return
		}
		d := []*daemon{t.a, t.b}[random.IntN(2)]
		t.daemons.Lock()
		switch {
		case !t.a.alive() || !t.b.alive():
			t.tally.violation("a daemon has ended by itself: its log is in %s", t.dir)
		case random.IntN(3) == 0:
			_ = d.cmd.Process.Signal(syscall.SIGSTOP)
			time.Sleep(time.Duration(random.Int64N(int64(400 * time.Millisecond))))
			_ = d.cmd.Process.Signal(syscall.SIGCONT)
			t.tally.do(func() { t.tally.stops++ })
		default:
			d.kill()
			t.tally.killed(kindDaemon)
			time.Sleep(time.Duration(random.Int64N(int64(250 * time.Millisecond))))
			if err := d.startAnew(); err != nil {
				t.tally.violation("start: %v", err)
			}
		}
		t.daemons.Unlock()
		t.watch()
	}
}

// watch finds rings that stand still.
func (t *torture) watch() {
	for _, r := range t.rings {
		if _, moved, _ := r.truth.progress(); time.Since(moved) > victimBusyFor && !closed(t.tally.alarm) {
			t.tally.violation("ring %s stands still since %v\n%s", r.name, time.Since(moved), t.situation())
		}
	}
}

// stats are those of one ring.
func (t *torture) stats(d *daemon, ring string) (client.RingStats, bool) {
	ctx, cancel := asking()
	defer cancel()
	s, err := d.calls.Stats(ctx, ring)
	if err != nil || len(s.Rings) != 1 {
		return client.RingStats{}, false
	}
	return s.Rings[0], true
}

// drain waits until nobody produces, the test has read all, and the mirrors are where their origins are. It sets the targets.
func (t *torture) drain() map[string]client.RingStats {
	all := map[string]client.RingStats{}
	for _, r := range t.rings {
		t.settles("nobody produces into "+r.name, func() bool {
			s, ok := t.stats(t.a, r.name)
			all[r.name] = s
			return ok && s.Producers == 0
		})
		r.target = all[r.name].Sequence
		if r.name == "loose" {
			continue
		}
		t.settles("the mirror of "+r.name+" has all", func() bool {
			s, ok := t.stats(t.b, r.name+".b")
			return ok && s.Sequence == r.target && s.Position == all[r.name].Position
		})
	}
	return all
}

// settles waits for what has to come at the end.
func (t *torture) settles(what string, done func() bool) {
	for deadline := time.Now().Add(victimBusyFor); !done() && !closed(t.tally.alarm); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.tally.violation("%s: not within %v\n%s", what, victimBusyFor, t.situation())
		}
	}
}
