package broker

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"brokerd/internal/wire"
)

func wantQuota(t *testing.T, err error, limit string, used, wanted, most uint64) {
	t.Helper()
	var e *wire.Error
	var p wire.LimitExceededParameters
	if !errors.As(err, &e) || e.Name != wire.ErrLimitExceeded || e.Decode(&p) != nil ||
		p.Limit != limit || p.Used != used || p.Wanted != wanted || p.Max != most || !strings.Contains(e.Message, "uid 1000 has") {
		t.Errorf("%v, %+v; want %s: %d used, %d wanted, at most %d", err, p, limit, used, wanted, most)
	}
}

// A user may own so much memory, rings being deleted included, and not a byte
// more; root and the daemon's user any.
func TestMemoryQuota(t *testing.T) {
	one, err := Plan(spec("x"))
	if err != nil {
		t.Fatal(err)
	}
	for most, fits := range map[uint64]int{2 * one: 2, 2*one - 1: 1, 1: 0} {
		limits := generous
		limits.PerUID.MemoryBytes = most
		b, _ := open(t, tmpfsDir(t), limits)
		made := 0
		create := func(owner uint32) error {
			made++
			r, err := b.CreateRing(spec(fmt.Sprintf("r%d", made)), owner)
			if err == nil && r.Owner != owner {
				t.Errorf("owner %d, want %d", r.Owner, owner)
			}
			return err
		}
		for range fits {
			if err := create(1000); err != nil {
				t.Fatal(err)
			}
		}
		wantQuota(t, create(1000), "limits.per_uid.memory", uint64(fits)*one, one, most)
		for _, owner := range []uint32{0, daemonUID, 0, daemonUID, 0, daemonUID} {
			if err := create(owner); err != nil {
				t.Errorf("uid %d: %v", owner, err)
			}
		}
		if err := create(1001); (err == nil) != (fits > 0) {
			t.Errorf("another user: %v", err)
		}
		if fits == 0 {
			continue
		}
		if _, _, err := b.Reconcile([]wire.RingSpec{spec("a"), spec("b"), spec("c")}); err != nil {
			t.Error(err) // the daemon's own
		}
		b, _ = restart(t, b)
		wantQuota(t, create(1000), "limits.per_uid.memory", uint64(fits)*one, one, most)
		if err := b.RemoveRing("r1", false); err != nil {
			t.Fatal(err)
		}
		b.pending["being deleted"] = reservation{rings: 1, bytes: one, owner: 1000}
		wantQuota(t, create(1000), "limits.per_uid.memory", uint64(fits)*one, one, most)
		delete(b.pending, "being deleted")
		if err := create(1000); err != nil {
			t.Errorf("there is room again: %v", err)
		}
	}
}

// What the configuration names is the daemon's, whoever made it.
func TestConfiguredRingsAreTheDaemons(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	if _, err := b.CreateRing(spec("md"), 1000); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Reconcile([]wire.RingSpec{spec("md"), spec("new")}); err != nil {
		t.Fatal(err)
	}
	for _, r := range b.Rings() {
		if r.Owner != daemonUID {
			t.Errorf("%s: owner %d", r.Name, r.Owner)
		}
	}
	b, _ = restart(t, b)
	if r := b.Rings()[0]; r.Owner != daemonUID {
		t.Errorf("after a restart: %d", r.Owner)
	}
}

func TestAttachmentsQuota(t *testing.T) {
	limits := generous
	limits.PerUID.Attachments = 2
	b, _ := open(t, tmpfsDir(t), limits)
	s := keeping("md")
	s.ConsumersMax = new(16)
	mustCreate(t, b, s)
	dies := startChild(t)
	mustAttach(t, b, named(1, dies.handle, "risk"))
	q := request(1, self(t), "md", wire.RoleProducer)
	q.In.Token = "t"
	mustAttach(t, b, q)
	wantQuota(t, attachError(t, b, named(1, self(t), "other")), "limits.per_uid.attachments", 2, 1, 2)
	mustAttach(t, b, q) // again, which is none more
	dies.kill()
	b.sweep()
	wantQuota(t, attachError(t, b, named(1, self(t), "other")), "limits.per_uid.attachments", 2, 1, 2) // a cursor counts
	mustAttach(t, b, resuming(1, self(t), "risk"))
	for _, uid := range []uint32{0, 0, 0, daemonUID, daemonUID, daemonUID, 1001, 1001} {
		q := named(1, self(t), "n")
		q.UID = uid
		mustAttach(t, b, q)
	}
	if err := b.Detach("md/p0.1", func(wire.Attachment, uint64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	mustAttach(t, b, request(1, self(t), "md", wire.RoleConsumer))
}

// Limits change while the broker runs; what is there is kept.
func TestSetLimits(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	one := mustCreate(t, b, spec("a")).MemoryBytes
	mustAttach(t, b, request(1, self(t), "a", wire.RoleConsumer))
	mustAttach(t, b, request(1, self(t), "a", wire.RoleConsumer))
	b.SetLimits(Limits{MemoryBytes: one - 1, Rings: 1, Attachments: 1, PerUID: UIDLimits{MemoryBytes: 1, Attachments: 1}})
	s := b.Status()
	if s.MemoryBytesMax != one-1 || s.RingsMax != 1 || s.AttachmentsMax != 1 || s.Attachments != 2 || len(s.Problems) != 1 {
		t.Errorf("%+v", s)
	}
	for range 2 {
		if _, err := b.CreateRing(spec("b"), 0); !errors.Is(err, wire.ErrLimitExceeded) {
			t.Error(err)
		}
		if err := attachError(t, b, request(1, self(t), "a", wire.RoleConsumer)); !errors.Is(err, wire.ErrLimitExceeded) {
			t.Error(err)
		}
		b.SetLimits(Limits{MemoryBytes: 2*one - 1, Rings: 2, Attachments: 2})
	}
	b.SetLimits(Limits{MemoryBytes: 2 * one, Rings: 2, Attachments: 3})
	mustCreate(t, b, spec("b"))
	mustAttach(t, b, request(1, self(t), "a", wire.RoleConsumer))
}

func TestPlan(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	for _, s := range []wire.RingSpec{spec("a"), many("b"), keeping("c"), {Name: "d", Capacity: 1 << 20, Checksum: true}} {
		planned, err := Plan(s)
		if r := mustCreate(t, b, s); err != nil || planned != r.MemoryBytes {
			t.Errorf("%s: planned %d (%v), takes %d", s.Name, planned, err, r.MemoryBytes)
		}
	}
	if _, err := Plan(wire.RingSpec{Name: "x", Capacity: 1}); !errors.Is(err, wire.ErrInvalidRing) {
		t.Error(err)
	}
}
