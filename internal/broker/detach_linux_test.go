package broker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

func TestDetachAsksFirst(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	mustAttach(t, b, request(7, self(t), "md", wire.RoleConsumer))
	denied := errors.New("denied")
	err := b.Detach("md/c0.1", func(a wire.Attachment, conn uint64) error {
		if a.ID != "md/c0.1" || a.PID != os.Getpid() || a.UID != 1000 || conn != 7 {
			t.Errorf("asked about %+v, connection %d", a, conn)
		}
		return denied
	})
	if !errors.Is(err, denied) {
		t.Errorf("%v", err)
	}
	wantIDs(t, b, "md", "md/c0.1 attached")
	for _, id := range []string{"", "md/c0.2", "md/c1.1", "md/p0.1", "md"} {
		err := b.Detach(id, func(wire.Attachment, uint64) error { t.Error("asked"); return nil })
		if !errors.Is(err, wire.ErrAttachmentNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	if err := b.Detach("md/c0.1", func(wire.Attachment, uint64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, b, "md")
	if len(b.procs) != 0 {
		t.Errorf("%d processes held for nothing", len(b.procs))
	}
}

func TestEvict(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	s := spec("md")
	s.ConsumersMax = new(1)
	mustCreate(t, b, s)
	c, other := startChild(t), startChild(t)
	q := request(1, c.handle, "md", wire.RoleConsumer)
	q.In.Policy = wire.PolicyBlock
	r := reader(t, mustAttach(t, b, q), shmring.PolicyBlock)
	p := writer(t, mustAttach(t, b, request(2, self(t), "md", wire.RoleProducer)))
	if !fillRing(t, p) {
		t.Fatal("the reader does not gate")
	}
	evict := func(wire.Attachment, uint64) error { return ErrEvict }
	for range 2 {
		if err := b.Detach("md/c0.1", evict); err != nil {
			t.Fatal(err)
		}
		wantIDs(t, b, "md", "md/c0.1 detached", "md/p0.1 attached")
	}
	if fillRing(t, p) {
		t.Error("an evicted reader still gates")
	}
	if _, err := receiveAll(r); !errors.Is(err, shmring.ErrDetached) {
		t.Errorf("the evicted reader: %v", err)
	}
	if err := attachError(t, b, request(3, other.handle, "md", wire.RoleConsumer)); !errors.Is(err, wire.ErrSlotsExhausted) {
		t.Errorf("its slot: %v", err)
	}
	if err := b.Detach("md/c0.1", func(wire.Attachment, uint64) error { return nil }); err != nil {
		t.Fatal(err) // now it says itself that it has finished
	}
	mustAttach(t, b, request(3, other.handle, "md", wire.RoleConsumer))

	if err := b.Detach("md/p0.1", evict); err != nil {
		t.Fatal(err)
	}
	if err := attachError(t, b, request(3, other.handle, "md", wire.RoleProducer)); !errors.Is(err, wire.ErrProducerPresent) {
		t.Errorf("beside an evicted producer that lives: %v", err)
	}
	if a := mustAttach(t, b, request(2, self(t), "md", wire.RoleProducer)).Out.Attachment; a.ID != "md/p0.2" {
		t.Errorf("the same process again: %+v", a)
	}
}

// receiveAll reads until an error that is not a lack of records.
func receiveAll(c *shmring.Consumer) (n int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if _, err := c.Receive(ctx); err != nil {
			return n, err
		}
		n++
	}
}

// A connection closed by a living process stops the gate of a reader at once;
// its producer is left alone.
func TestConnectionClosed(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	run(t, b)
	c := startChild(t)
	q := request(1, c.handle, "md", wire.RoleConsumer)
	q.In.Policy = wire.PolicyBlock
	reader(t, mustAttach(t, b, q), shmring.PolicyBlock)
	p := writer(t, mustAttach(t, b, request(1, c.handle, "md", wire.RoleProducer)))
	mustAttach(t, b, request(2, c.handle, "md", wire.RoleConsumer))
	if !fillRing(t, p) {
		t.Fatal("the reader does not gate")
	}
	b.ConnectionClosed(1)
	wantIDs(t, b, "md", "md/c0.1 detached", "md/c1.1 attached", "md/p0.1 detached")
	if fillRing(t, p) {
		t.Error("the reader still gates")
	}
	stats, err := b.Stats("md")
	if err != nil || stats.Rings[0].Consumers != 1 || stats.Rings[0].Producers != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
	c.kill()
	eventually(t, "the dead process's attachments are gone", func() bool { return b.Status().Attachments == 0 })
}

// A killed reader frees the producer within 100 ms; so a killed producer its
// place. The bound here is wider: the machine may be busy with other tests.
func TestDeath(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	run(t, b)
	dies, writes, next := startChild(t), startChild(t), startChild(t)
	q := request(1, dies.handle, "md", wire.RoleConsumer)
	q.In.Policy = wire.PolicyBlock
	reader(t, mustAttach(t, b, q), shmring.PolicyBlock)
	p := writer(t, mustAttach(t, b, request(2, writes.handle, "md", wire.RoleProducer)))
	if !fillRing(t, p) {
		t.Fatal("the reader does not gate")
	}
	dies.kill()
	took := eventually(t, "the producer is free", func() bool { return push(p) == nil })
	t.Logf("free %s after the reader was reaped", took)
	if took > time.Second {
		t.Errorf("that took %s", took)
	}
	writes.kill()
	took = eventually(t, "the dead producer's slot is free", func() bool {
		l, err := b.Attach(request(3, next.handle, "md", wire.RoleProducer))
		closeFiles(l.Files)
		return err == nil
	})
	t.Logf("its place free %s after the producer was reaped", took)
	wantIDs(t, b, "md", "md/p0.2 attached")
	eventually(t, "both deaths are events", func() bool { return events.count(EventDied) == 2 })
	if n := events.count(EventRepaired); n != 1 || b.Status().Repairs != 1 {
		t.Errorf("%d repairs told, %d counted", n, b.Status().Repairs)
	}
}

// The watch alone sees a death, and the sweep alone does.
func TestDeathSeenTwoWays(t *testing.T) {
	for what, c := range map[string]struct{ before, after func(b *Broker) }{
		"watch": {func(b *Broker) { b.watching = t.Context() }, func(*Broker) {}},
		"sweep": {func(*Broker) {}, (*Broker).sweep},
	} {
		b, _ := open(t, tmpfsDir(t), generous)
		mustCreate(t, b, spec("md"))
		c.before(b)
		dies := startChild(t)
		mustAttach(t, b, request(1, dies.handle, "md", wire.RoleConsumer))
		dies.kill()
		eventually(t, what+" sees the death", func() bool { c.after(b); return b.Status().Attachments == 0 })
		b.watchers.Wait()
	}
}

// One process, one watcher and one pidfd, however much it holds; none left
// behind by any order of ends.
func TestWatchersEnd(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	startChild(t).kill() // Go's poller opens its own descriptors the first time
	before := openFDs(t)
	c := startChild(t)
	attach := func() { closeFiles(mustAttach(t, b, request(1, c.handle, "md", wire.RoleConsumer)).Files) }
	detach := func(id string) {
		t.Helper()
		if err := b.Detach(id, func(wire.Attachment, uint64) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	attach() // before Run
	stop := run(t, b)
	attach()
	detach("md/c0.1")
	if len(b.procs) != 1 {
		t.Errorf("%d processes", len(b.procs))
	}
	detach("md/c1.1")
	attach() // a new watcher while the old one ends
	stop()
	wantIDs(t, b, "md", "md/c0.2 attached")

	c.kill() // nobody watches
	wantIDs(t, b, "md", "md/c0.2 attached")
	stop = run(t, b)
	eventually(t, "the death is noticed by the next Run", func() bool { return b.Status().Attachments == 0 })
	stop()
	if after := openFDs(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestRunBeats(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	ctx, cancel := context.WithTimeout(t.Context(), 1100*time.Millisecond)
	defer cancel()
	var beats atomic.Int32
	if err := b.Run(ctx, func() { beats.Add(1) }); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if n := beats.Load(); n < 2 {
		t.Errorf("%d beats in 1.1 s", n)
	}
}

func TestDemotionIsTold(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	s := spec("md")
	s.DemoteAfterNS = new(int64(time.Millisecond))
	mustCreate(t, b, s)
	h := self(t)
	q := request(1, h, "md", wire.RoleConsumer)
	q.In.Name = "slow"
	reader(t, mustAttach(t, b, q), shmring.PolicyDemote)
	p := writer(t, mustAttach(t, b, request(1, h, "md", wire.RoleProducer)))
	run(t, b)
	if !fillRing(t, p) {
		t.Fatal("the reader does not gate")
	}
	if err := p.Send(t.Context(), make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the demotion is an event", func() bool { return events.count(EventDemoted) == 1 })
	list, err := b.Attachments("md")
	if err != nil || !list[0].Demoted {
		t.Errorf("%+v, %v", list, err)
	}
}

// A reader that truncates its own page harms itself only.
func TestReaderTruncatesItsPage(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	h := self(t)
	lease := mustAttach(t, b, request(1, h, "md", wire.RoleConsumer))
	mustAttach(t, b, request(1, h, "md", wire.RoleConsumer))
	if err := lease.Files[1].Truncate(0); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, b, "md", "md/c0.1 detached", "md/c1.1 attached")
	b.sweep()
	if d, err := b.DescribeRing("md"); err != nil || d.Stats.State != wire.StateLive || events.count(EventRetired) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	if a := mustAttach(t, b, request(1, h, "md", wire.RoleConsumer)).Out.Attachment; a.ID != "md/c0.2" {
		t.Errorf("%+v", a)
	}
}

// A ring with garbage in it is retired; another one goes on. What follows is in
// succession_linux_test.go.
func TestRetire(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("bad"))
	mustCreate(t, b, spec("good"))
	h := self(t)
	p := mustAttach(t, b, request(1, h, "bad", wire.RoleProducer))
	mustAttach(t, b, request(1, h, "bad", wire.RoleConsumer))
	if err := push(writer(t, p)); err != nil {
		t.Fatal(err)
	}
	before, err := b.DescribeRing("bad")
	if err != nil || before.Stats.Sequence != 1 || len(before.Problems) != 0 {
		t.Fatalf("%+v, %v", before, err)
	}
	if err := os.Truncate(filepath.Join(b.dir, "bad", "data"), 0); err != nil {
		t.Fatal(err)
	}
	b.sweep()
	if events.count(EventRetired) != 1 {
		t.Fatalf("%s", events)
	}
	if err := attachError(t, b, request(1, h, "bad", wire.RoleConsumer)); !errors.Is(err, wire.ErrRingCorrupt) || !strings.Contains(err.Error(), "in a moment") {
		t.Error(err)
	}
	d, err := b.DescribeRing("bad")
	if err != nil || d.Stats.State != wire.StateCorrupt || len(d.Attachments) != 2 || len(d.Problems) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	if d.Stats.State = wire.StateLive; d.Stats != before.Stats {
		t.Errorf("figures %+v, last read were %+v", d.Stats, before.Stats)
	}
	if s := b.Status(); len(s.Problems) != 1 || s.Retired != 1 {
		t.Errorf("%+v", s)
	}
	mustAttach(t, b, request(1, h, "good", wire.RoleConsumer))
	b.ConnectionClosed(1)
	if err := b.RemoveRing("bad", true); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, b, spec("bad"))
	if s := b.Status(); len(s.Problems) != 0 {
		t.Errorf("%q", s.Problems)
	}
}
