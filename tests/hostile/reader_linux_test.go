package hostile

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brokerd/client"
	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

// Users of these tests. Nobody on this host has their numbers.
const (
	guestUID = 912011 // may consume
	otherUID = 912012
)

const guestRing = "[{name: good, capacity: 1MiB, demote_after: 20ms, consumers_max: 8, allow: {consume: {users: [912011]}}}]"

// TestHostileReaders lets readers of another user do what they can to their pages,
// while a producer and a lossless reader use the ring at full rate.
func TestHostileReaders(t *testing.T) {
	harness.NeedRoot(t, "to attach as another user")
	seed, d := drawSeed(), *forFlag*3/5
	p := harness.NewPlace(t, binaries, guestRing)
	daemon := p.Start()
	c := p.Dial()
	before, free := look(daemon), freeBlocks(t, p.Dir)
	reader := harness.Launch(t, role(p, "good reader", "good", 4*d))
	reader.WaitSaid(sayReady)
	feed := harness.Launch(t, role(p, "good feed", "good", d+time.Second/2))
	var vandals []*harness.Process
	for i := range uint64(2) {
		vandals = append(vandals, harness.Launch(t, harness.AsUser(role(p, "page vandal", "good", seed+i, d), guestUID, guestUID)))
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	took := ask(ctx, t, c, func() {})
	lives := map[string]int{}
	for _, v := range vandals {
		v.Expect(0)
		var some map[string]int
		lastLine(t, v, &some)
		for name, n := range some {
			lives[name] += n
		}
	}
	feed.Expect(0)
	reader.Expect(0)
	got := wantProgress(t, reader)
	took.judge(t)
	wantUnhurt(t, daemon)
	var s client.Status
	p.Object(&s, "status")
	if len(s.Quarantined) > 0 || harness.RingStats(t, c, "good").State != wire.StateLive {
		t.Errorf("the ring was retired: %+v", s)
	}
	harness.WaitAttached(t, c, "good", 0)
	if list := harness.Attachments(t, c, "good"); len(list) != 0 {
		t.Errorf("left over: %+v", list)
	}
	harness.Eventually(t, "the memory that they took comes back", func() bool { return freeBlocks(t, p.Dir)+slackBlocks >= free })
	wantBack(t, daemon, before)
	total := 0
	for _, n := range lives {
		total += n
	}
	fmt.Printf("counts: hostile: readers: seed %d, %v: %d attacks of uid %d (%s)\n", seed, d, total, guestUID, counted(lives))
	fmt.Printf("counts: hostile: readers: the ring's producer and other reader: %d records, no gap, %d of %d windows of 100 ms idle, longest pause %v; daemon: %v\n",
		got.Records, got.Idle, got.Windows, got.Longest.Round(time.Millisecond), took)
}

// slackBlocks is what others may take of the tmpfs meanwhile: it is the host's.
const slackBlocks = 1 << 14

func freeBlocks(t testing.TB, dir string) uint64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Bfree
}

// TestGrownPageIsCut: the memory that a reader adds to its page is given back, and
// the reader is told.
func TestGrownPageIsCut(t *testing.T) {
	p := harness.NewPlace(t, binaries, "["+goodRing+"]")
	p.Start()
	c := p.Dial()
	for what, grow := range map[string]func(f *os.File) error{
		"longer":   func(f *os.File) error { return f.Truncate(1 << 30) },
		"reserved": func(f *os.File) error { return unix.Fallocate(int(f.Fd()), 0, 0, 32<<20) },
	} {
		l, err := attachRaw(p.Socket, wire.AttachIn{Ring: "good", Role: wire.RoleConsumer, Name: "grower"})
		if err != nil {
			t.Fatal(err)
		}
		if err := grow(l.pageFile()); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, what+": cut", func() bool {
			info, err := l.pageFile().Stat()
			return err == nil && info.Size() == pageBytes && info.Sys() != nil
		})
		list := harness.Attachments(t, c, "good")
		if len(list) != 1 || list[0].State != client.StateDetached || list[0].EndedReason == "" {
			t.Errorf("%s: %+v, want it ended, and why", what, list)
		}
		if err := l.detach(); err != nil {
			t.Error(err)
		}
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}
}

// TestBlockReaderHolds: a block reader that stops reading holds the producer, by
// contract, and nobody else's ring; who may do that is allow.gate. A gate that it
// forges ahead lets go, and the other reader still gets every record.
func TestBlockReaderHolds(t *testing.T) {
	p := harness.NewPlace(t, binaries, "["+goodRing+"]")
	p.Start()
	c := p.Dial()
	l, err := attachRaw(p.Socket, wire.AttachIn{Ring: "good", Role: wire.RoleConsumer, Policy: wire.PolicyBlock, Name: "holder"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.close() }()
	gate := func(v uint64) { put64(l.pages[0], cuGate, v) }
	gate(0)
	reader := harness.Launch(t, role(p, "good reader", "good", harness.Patience))
	reader.WaitSaid(sayReady)
	feed := harness.Launch(t, role(p, "good feed", "good", 300*time.Millisecond))
	held := func() uint64 { return harness.RingStats(t, c, "good").Position }
	harness.Eventually(t, "the ring is full", func() bool { return held() >= 1<<20-2*goodRecordBytes })
	if at := held(); at > 1<<20 {
		t.Errorf("the producer went to %d past a gate at 0", at)
	}
	// One ring further, and no more.
	gate(1 << 16)
	harness.Eventually(t, "the producer goes on", func() bool { return held() >= 1<<20+1<<16-2*goodRecordBytes })
	if at := held(); at > 1<<20+1<<16 {
		t.Errorf("the producer went to %d past a gate at %d", at, 1<<16)
	}
	gate(1 << 59)
	feed.Expect(0)
	reader.Expect(0)
	wantSome(t, reader)
}
