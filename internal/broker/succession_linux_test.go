package broker

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// spoil makes the next sweep find garbage in a ring.
func spoil(t *testing.T, b *Broker, name string) {
	t.Helper()
	if err := os.Truncate(filepath.Join(b.dir, name, "data"), 0); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	b.readStats(b.rings[name])
	b.unlock()
}

// A retired ring has a successor of the same description and a new epoch while the
// daemon runs; those attached to the old one learn it, and whoever still has it
// mapped writes to what lies in quarantine.
func TestSuccessor(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	first := mustCreate(t, b, spec("md"))
	h := self(t)
	p := writer(t, mustAttach(t, b, request(1, h, "md", wire.RoleProducer)))
	c := reader(t, mustAttach(t, b, request(1, h, "md", wire.RoleConsumer)), shmring.PolicyDemote)
	run(t, b)
	if err := overwrite("data", 0x10, []byte{1})(t, b.rings["md"].dir); err != nil { // the capacity
		t.Fatal(err)
	}
	b.mu.Lock()
	b.retire(b.rings["md"], errState) // what a sweep does that finds something
	b.unlock()
	eventually(t, "a successor", func() bool { return events.count(EventSucceeded) == 1 })

	if _, err := c.TryReceive(); !errors.Is(err, shmring.ErrCorrupt) {
		t.Errorf("the reader of the old one: %v", err)
	}
	second := b.Rings()[0]
	if second.Epoch <= first.Epoch {
		t.Errorf("epoch %d after %d", second.Epoch, first.Epoch)
	}
	second.Epoch, second.CreatedNS = first.Epoch, first.CreatedNS
	if !same(first, second) {
		t.Errorf("%+v became %+v", first, second)
	}
	if list, err := b.Attachments("md"); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	_ = push(p) // harmless, whatever it says
	if d, err := b.DescribeRing("md"); err != nil || d.Stats.Sequence != 0 || len(d.Problems) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
	old := uint64(first.Epoch)
	q := request(1, h, "md", wire.RoleProducer)
	if q.In.Epoch = &old; !errors.Is(attachError(t, b, q), wire.ErrEpochChanged) {
		t.Error("the old epoch was taken")
	}
	if a := mustAttach(t, b, request(1, h, "md", wire.RoleProducer)).Out.Attachment; a.ID != "md/p0.1" {
		t.Errorf("%+v", a)
	}
	s := b.Status()
	if s.Retired != 1 || len(s.Quarantined) != 1 || s.Rings != 1 || s.MemoryBytes != first.MemoryBytes+s.QuarantinedBytes || s.QuarantinedBytes < first.MemoryBytes {
		t.Errorf("%+v", s)
	}
	if len(s.Problems) != 1 || !strings.Contains(s.Problems[0], errState.Error()) || !strings.Contains(s.Problems[0], "brokerctl gc") {
		t.Errorf("%q", s.Problems)
	}
}

func same(a, b wire.Ring) bool {
	return a.Name == b.Name && a.Capacity == b.Capacity && a.MemoryBytes == b.MemoryBytes && a.Owner == b.Owner && a.Managed == b.Managed &&
		a.Epoch == b.Epoch && a.CreatedNS == b.CreatedNS && a.Policy == b.Policy && a.ConsumersMax == b.ConsumersMax
}

// A producer that spoils each successor gets as many as quarantinedPerRingMax, over
// restarts, too. After a gc there is one by itself.
func TestSuccessorsAreBounded(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	for n := 1; n <= quarantinedPerRingMax; n++ {
		spoil(t, b, "md")
		b.succeedAll()
		if s := b.Status(); len(s.Quarantined) != n || b.rings["md"].retired != nil {
			t.Fatalf("number %d: %+v", n, s)
		}
	}
	spoil(t, b, "md")
	for range 2 {
		b.succeedAll()
		err := attachError(t, b, request(1, self(t), "md", wire.RoleConsumer))
		if !errors.Is(err, wire.ErrRingCorrupt) || !strings.Contains(err.Error(), "2 rings of its name are quarantined already") || !strings.Contains(err.Error(), "brokerctl gc") {
			t.Fatal(err)
		}
		if s := b.Status(); len(s.Quarantined) != quarantinedPerRingMax || s.Rings != 1 || len(s.Problems) != quarantinedPerRingMax+1 {
			t.Fatalf("%+v", s)
		}
		b, _ = restart(t, b)
	}
	found, _, err := b.CollectGarbage(false)
	if err != nil || len(found) != quarantinedPerRingMax || slices.ContainsFunc(found, func(g wire.Garbage) bool { return !g.Deleted || g.Ring != "md" }) {
		t.Fatalf("%+v, %v", found, err)
	}
	b.succeedAll()
	mustAttach(t, b, request(1, self(t), "md", wire.RoleConsumer))
	if s := b.Status(); len(s.Quarantined) != 1 || len(s.Problems) != 1 {
		t.Errorf("%+v", s)
	}
}

// A ring for whose successor there is no room stays retired under its name, says
// what it waits for, and gets it when that is there.
func TestSuccessorWaitsForRoom(t *testing.T) {
	one, err := Plan(spec("md"))
	if err != nil {
		t.Fatal(err)
	}
	tight, roomy := generous, generous
	tight.MemoryBytes, roomy.MemoryBytes = 2*one-1, 2*one
	quota := roomy
	quota.PerUID.MemoryBytes = 2*one - 1
	for says, limits := range map[string]Limits{"limits.memory allows": tight, "limits.per_uid.memory allows": quota} {
		b, events := open(t, tmpfsDir(t), limits)
		if _, err := b.CreateRing(spec("md"), 1000); err != nil {
			t.Fatal(err)
		}
		spoil(t, b, "md")
		b.succeedAll()
		if err := attachError(t, b, request(1, self(t), "md", wire.RoleConsumer)); !errors.Is(err, wire.ErrRingCorrupt) || !strings.Contains(err.Error(), says) {
			t.Error(err)
		}
		if b.Refusals()[limitMemory]+b.Refusals()[limitUIDMemory] != 0 {
			t.Error("counted as refused, again and again")
		}
		b.SetLimits(roomy)
		b.succeedAll()
		if events.count(EventSucceeded) != 1 || len(b.pending) != 0 {
			t.Errorf("%s", events)
		}
	}
}

// A successor that cannot be built leaves nothing, and is tried again later.
func TestSuccessorFails(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	b, events := openAt(t, tmpfsDir(t), generous, func() time.Time { return now })
	mustCreate(t, b, spec("md"))
	spoil(t, b, "md")
	if err := os.Mkdir(filepath.Join(b.dir, buildingFolder(b.rings["md"].info)), 0o700); err != nil {
		t.Fatal(err)
	}
	b.succeedAll()
	b.succeedAll()
	if events.count(EventFailed) != 1 || !strings.Contains(b.rings["md"].waits, "tried again") || len(b.pending) != 0 {
		t.Fatalf("%q, %s", b.rings["md"].waits, events)
	}
	now = now.Add(successionPause)
	b.succeedAll()
	if events.count(EventSucceeded) != 1 {
		t.Errorf("%s", events)
	}
}

// builtSuccessor spoils the ring md and builds its successor, which is to replace it.
func builtSuccessor(t *testing.T, b *Broker) (r, next *ring) {
	t.Helper()
	spoil(t, b, "md")
	r = b.rings["md"]
	folder, info := b.planSuccessor(r)
	next, err := b.build(folder, info, origin{})
	if err != nil {
		t.Fatal(err)
	}
	return r, next
}

// A ring that is removed while its successor is built stays removed.
func TestSuccessorOfRemovedRing(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	r, next := builtSuccessor(t, b)
	if err := b.RemoveRing("md", false); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, b, spec("md"))
	if err := b.replace(r, next); !errors.Is(err, errOvertaken) {
		t.Errorf("%v", err)
	}
	if err := next.close(); err != nil {
		t.Error(err)
	}
	if s := b.Status(); s.Rings != 1 || len(s.Quarantined) != 0 {
		t.Errorf("%+v", s)
	}
}

// A mirror is set aside and has no successor: the gateway makes it anew.
func TestRetiredMirrorIsSetAside(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	for n := 1; n <= quarantinedPerRingMax; n++ {
		mustMirror(t, b, mirrorOf("m", 1000))
		spoil(t, b, "m")
		b.succeedAll()
		if s := b.Status(); s.Rings != 0 || len(s.Quarantined) != n {
			t.Fatalf("%+v", s)
		}
	}
	mustMirror(t, b, mirrorOf("m", 1000))
	spoil(t, b, "m")
	b.succeedAll()
	if _, err := b.CreateMirror(mirrorOf("m", 1000)); !errors.Is(err, wire.ErrRingCorrupt) || !strings.Contains(err.Error(), "brokerctl gc") {
		t.Errorf("%v", err)
	}
}

// What the configuration changes of a ring that is retired holds for its successor.
func TestSuccessorHasLiveKeys(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	s := spec("md")
	if _, _, err := b.Reconcile([]wire.RingSpec{s}); err != nil {
		t.Fatal(err)
	}
	r, next := builtSuccessor(t, b)
	s.Policy = wire.PolicySkip
	if _, _, err := b.Reconcile([]wire.RingSpec{s}); err != nil {
		t.Fatal(err)
	}
	if err := b.replace(r, next); err != nil {
		t.Fatal(err)
	}
	if got := b.Rings()[0]; got.Policy != wire.PolicySkip || !got.Managed {
		t.Errorf("%+v", got)
	}
	b, _ = restart(t, b)
	if got := b.Rings()[0]; got.Policy != wire.PolicySkip {
		t.Errorf("adopted: %+v", got)
	}
}
