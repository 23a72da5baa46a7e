package broker

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"brokerd/internal/process"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

const producersMany = 63

func many(name string) wire.RingSpec {
	s := spec(name)
	s.Producers = wire.ProducersMany
	return s
}

func producing(h *process.Handle) AttachRequest { return request(1, h, "md", wire.RoleProducer) }

func TestManyProducers(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, many("md"))
	h, dies := self(t), startChild(t)
	for slot := range producersMany {
		q := producing(h)
		if slot == 7 {
			q.Process = dies.handle
		}
		l, err := b.Attach(q)
		closeFiles(l.Files)
		if err != nil || l.Out.Attachment.ID != fmt.Sprintf("md/p%d.1", slot) {
			t.Fatalf("producer %d: %+v, %v", slot, l.Out.Attachment, err)
		}
	}
	err := attachError(t, b, producing(h))
	var e *wire.Error
	var p wire.SlotsExhaustedParameters
	if !errors.As(err, &e) || e.Name != wire.ErrSlotsExhausted || e.Decode(&p) != nil || p.Role != wire.RoleProducer || p.Max != producersMany ||
		!strings.Contains(e.Message, "of 63, 63 are held") {
		t.Errorf("%v, %+v", err, p)
	}
	stats, err := b.Stats("md")
	if err != nil || stats.Rings[0].Producers != producersMany {
		t.Errorf("%+v, %v", stats.Rings, err)
	}

	// The slot of one that died is found by Attach itself; nobody watches here.
	dies.kill()
	l := mustAttach(t, b, producing(h))
	if l.Out.Attachment.ID != "md/p7.2" {
		t.Errorf("%+v", l.Out.Attachment)
	}
	b, _ = restart(t, b)
	if n := len(ids(t, b, "md")); n != producersMany {
		t.Errorf("%d adopted", n)
	}
	if err := attachError(t, b, producing(h)); !errors.Is(err, wire.ErrSlotsExhausted) {
		t.Error(err)
	}
}

// claim leaves a claim of a producer open, and another producer's record behind
// it, which the reader cannot reach.
func claim(t *testing.T, p, other *shmring.Producer, c *shmring.Consumer) {
	t.Helper()
	if _, err := p.Reserve(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if err := push(other); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TryReceive(); !errors.Is(err, shmring.ErrEmpty) {
		t.Fatalf("read past an open claim: %v", err)
	}
}

// A claim that stays open is told of, with the process that has it, and no more
// once it is committed.
func TestStuckClaimIsAProblem(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, many("md"))
	now := time.Now()
	b.now = func() time.Time { return now }
	p := writer(t, mustAttach(t, b, producing(self(t))))
	if _, err := p.Reserve(t.Context(), 10); err != nil {
		t.Fatal(err)
	}
	b.sweep()
	now = now.Add(claimOpenMax - 1)
	b.sweep()
	if s := b.Status(); len(s.Problems) != 0 {
		t.Fatalf("%q", s.Problems)
	}
	now = now.Add(1)
	want := fmt.Sprintf("pid %d) has claimed position 0 and not committed it for 1s", os.Getpid())
	if s := b.Status(); len(s.Problems) != 1 || !strings.Contains(s.Problems[0], want) {
		t.Fatalf("%q", s.Problems)
	}
	if d, err := b.DescribeRing("md"); err != nil || len(d.Problems) != 1 || !strings.Contains(d.Problems[0], want) {
		t.Fatalf("%q, %v", d.Problems, err)
	}
	if err := p.Commit(); err != nil {
		t.Fatal(err)
	}
	b.sweep()
	if s := b.Status(); len(s.Problems) != 0 {
		t.Fatalf("%q", s.Problems)
	}
}

// What a dead producer had claimed becomes a gap; so what one leaves that
// detaches. A stopped connection or an administrator's end is no death.
func TestClaimBecomesAGap(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, many("md"))
	run(t, b)
	h, dies := self(t), startChild(t)
	dead, stays := writer(t, mustAttach(t, b, producing(dies.handle))), writer(t, mustAttach(t, b, producing(h)))
	c := reader(t, mustAttach(t, b, request(1, h, "md", wire.RoleConsumer)), shmring.PolicyDemote)
	claim(t, dead, stays, c)
	if err := b.Detach("md/p0.1", func(wire.Attachment, uint64) error { return ErrEvict }); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TryReceive(); !errors.Is(err, shmring.ErrEmpty) {
		t.Fatalf("the claim of a living process was repaired: %v", err)
	}
	dies.kill()
	var r shmring.Record
	took := eventually(t, "the claim is a gap", func() (ok bool) {
		var err error
		r, err = c.TryReceive()
		return err == nil
	})
	t.Logf("%s after the producer was reaped", took)
	if took > time.Second || r.Gaps != 1 || r.Sequence != 1 {
		t.Errorf("after %s: %+v", took, r)
	}
	eventually(t, "the repair is told", func() bool { return events.count(EventRepaired) == 1 })

	left := writer(t, mustAttach(t, b, producing(startChild(t).handle)))
	claim(t, left, stays, c)
	if err := b.Detach("md/p0.2", func(wire.Attachment, uint64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if r, err := c.TryReceive(); err != nil || r.Gaps != 1 || r.Sequence != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	mustAttach(t, b, producing(h))
	if err := b.Detach("md/p0.3", func(wire.Attachment, uint64) error { return nil }); err != nil {
		t.Fatal(err) // with nothing open
	}
	if n := b.Status().Repairs; n != 2 || events.count(EventRepaired) != 2 {
		t.Errorf("%d repairs, %s", n, events)
	}
}

// The claims of producers that died while no daemon ran.
func TestAdoptionRepairsClaims(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, many("md"))
	h, dies := self(t), startChild(t)
	first, second := writer(t, mustAttach(t, b, producing(dies.handle))), writer(t, mustAttach(t, b, producing(dies.handle)))
	stays := writer(t, mustAttach(t, b, producing(h)))
	c := reader(t, mustAttach(t, b, request(1, h, "md", wire.RoleConsumer)), shmring.PolicyDemote)
	claim(t, first, stays, c)
	claim(t, second, stays, c)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	dies.kill()
	b, _ = open(t, b.dir, b.limits)
	wantIDs(t, b, "md", "md/c0.1 detached", "md/p2.1 detached")
	for _, want := range []uint64{1, 3} {
		if r, err := c.TryReceive(); err != nil || r.Gaps != 1 || r.Sequence != want {
			t.Errorf("%+v, %v", r, err)
		}
	}
	if n := b.Status().Repairs; n != 2 {
		t.Errorf("%d repairs", n)
	}
}

// The slot of a producer that was ended is not lent again while its process
// lives, to that process neither: it may have a claim open.
func TestEndedProducerAmongMany(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, many("md"))
	h := self(t)
	q := producing(h)
	q.In.Token = "t"
	p := writer(t, mustAttach(t, b, q))
	if err := b.Evict("md/p0.1", "because"); err != nil {
		t.Fatal(err)
	}
	if err := push(p); !errors.Is(err, shmring.ErrDetached) {
		t.Errorf("%v", err)
	}
	if a := mustAttach(t, b, q).Out.Attachment; a.ID != "md/p1.1" {
		t.Errorf("%+v", a)
	}
	b, _ = restart(t, b)
	wantIDs(t, b, "md", "md/p0.1 detached", "md/p1.1 detached")
	mustAttach(t, b, producing(h))
	if err := b.rings["md"].mem.UnbindProducer(1); err != nil { // as a daemon does that dies right after it
		t.Fatal(err)
	}
	b, _ = restart(t, b)
	for slot, want := range []hold{holdZombie, holdZombie, holdKept} {
		if a := b.rings["md"].held[slotRef{wire.RoleProducer, slot}]; a == nil || a.hold != want {
			t.Errorf("producer slot %d: %+v", slot, a)
		}
	}
	if err := b.Detach("md/p0.1", func(wire.Attachment, uint64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if a := mustAttach(t, b, producing(h)).Out.Attachment; a.ID != "md/p0.2" {
		t.Errorf("%+v", a)
	}
}

// A claim that makes no sense retires the ring: it can never be stepped over.
func TestMalformedClaim(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, many("md"))
	dies := startChild(t)
	l := mustAttach(t, b, producing(dies.handle))
	mustAttach(t, b, request(1, self(t), "md", wire.RoleConsumer))
	const claimBytesOffset = 0x2008 // of producer slot 0, see docs/MEMORY_LAYOUT.md
	if _, err := writer(t, l).Reserve(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if err := overwrite("data", claimBytesOffset, []byte{3, 0, 0, 0})(t, b.rings["md"].dir); err != nil {
		t.Fatal(err)
	}
	dies.kill()
	b.sweep()
	if events.count(EventRetired) != 1 {
		t.Errorf("%s", events)
	}
	if err := attachError(t, b, request(1, self(t), "md", wire.RoleConsumer)); !errors.Is(err, wire.ErrRingCorrupt) {
		t.Error(err)
	}
}

// Records with a checksum, and the policy latest, are lent like any other.
func TestChecksumAndLatest(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	s := spec("md")
	s.Checksum, s.Policy = true, wire.PolicyLatest
	mustCreate(t, b, s)
	h := self(t)
	l := mustAttach(t, b, request(1, h, "md", wire.RoleConsumer))
	if l.Out.Attachment.Policy != wire.PolicyLatest || !l.Out.Ring.Checksum {
		t.Errorf("%+v", l.Out)
	}
	c := reader(t, l, shmring.PolicyLatest)
	p := writer(t, mustAttach(t, b, producing(h)))
	const records = 5
	for range records {
		if err := push(p); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := c.TryReceive(); err != nil || r.Sequence != records-1 {
		t.Errorf("%+v, %v", r, err)
	}
	list, err := b.Attachments("md")
	if err != nil || list[0].ChecksumErrors != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}
