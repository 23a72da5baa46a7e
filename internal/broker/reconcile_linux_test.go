package broker

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"brokerd/internal/wire"
)

func mustReconcile(t *testing.T, b *Broker, specs ...wire.RingSpec) (changed, kept []string) {
	t.Helper()
	changed, kept, err := b.Reconcile(specs)
	if err != nil {
		t.Fatal(err)
	}
	return changed, kept
}

func wantLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%q, want %q", got, want)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
}

func TestReconcile(t *testing.T) {
	dir := tmpfsDir(t)
	b, events := open(t, dir, generous)
	md := spec("md")
	changed, kept := mustReconcile(t, b, md, spec("other"))
	wantLines(t, changed, "ring md: created, 167936 bytes", "ring other: created")
	wantLines(t, kept)
	changed, kept = mustReconcile(t, b, md, spec("other"))
	wantLines(t, append(changed, kept...))
	first := b.Rings()[0]
	if !first.Managed || events.count(EventUpdated) != 0 {
		t.Errorf("%+v, %s", first, events)
	}

	md.Policy, md.DemoteAfterNS, md.ResumeForNS = wire.PolicySkip, new(int64(5e6)), new(int64(30e9))
	md.Allow = &wire.Allow{Consume: &wire.Principals{Groups: []string{"trading"}}}
	changed, _ = mustReconcile(t, b, md)
	wantLines(t, changed,
		"ring md: policy is skip now and was demote, demote_after is 5ms now and was 1s, resume_for is 30s now and was 0s, allow.consume changed",
		"ring other: the configuration has it no longer; it stays, unmanaged (brokerctl ring rm other removes it)")
	if r := b.Rings()[1]; r.Name != "other" || r.Managed || events.count(EventUpdated) != 2 {
		t.Errorf("%+v, %s", r, events)
	}
	changed, _ = mustReconcile(t, b, md, spec("other"))
	wantLines(t, changed, "ring other: the configuration names it now")

	b, events = restart(t, b)
	got := b.Rings()[0]
	if got.Managed || got.Policy != wire.PolicySkip || got.DemoteAfterNS != 5e6 || got.ResumeForNS != 30e9 ||
		got.Allow.Consume.Groups[0] != "trading" || got.Epoch != first.Epoch {
		t.Errorf("after a restart: %+v", got)
	}
	changed, kept = mustReconcile(t, b, md, spec("other")) // no news at the start
	wantLines(t, append(changed, kept...))
	if p := b.Status().Problems; len(p) != 0 || events.count(EventUpdated) != 0 || !b.Rings()[0].Managed {
		t.Errorf("problems: %q, %s", p, events)
	}
}

// The geometry of a ring stays what it is, which is told in two places until the
// configuration agrees, or forgets the ring.
func TestDrift(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustReconcile(t, b, spec("md"))
	want := many("md")
	want.Capacity, want.ConsumersMax, want.Timestamps, want.Policy = 128<<10, new(9), new(false), wire.PolicyBlock
	changed, kept := mustReconcile(t, b, want)
	wantLines(t, changed, "policy is block now")
	wantLines(t, kept, "capacity is 65536 and not 131072, record_max is 4096 and not 8192, producers is one and not many, "+
		"consumers_max is 4 and not 9, timestamps is true and not false; to change it remove the ring (brokerctl ring rm md), then brokerctl reload")
	if p := b.Status().Problems; !reflect.DeepEqual(p, kept) || strings.Contains(p[0], "checksum") {
		t.Errorf("problems: %q", p)
	}
	if r := b.Rings()[0]; r.Capacity != 64<<10 || r.ConsumersMax != 4 || r.Policy != wire.PolicyBlock || !r.Managed {
		t.Errorf("%+v", r)
	}
	if err := b.RemoveRing("md", false); err != nil {
		t.Fatal(err)
	}
	changed, kept = mustReconcile(t, b, want)
	wantLines(t, append(changed, kept...), "ring md: created")
	_, kept = mustReconcile(t, b, spec("md"))
	wantLines(t, kept, "capacity is 131072 and not 65536")
	_, kept = mustReconcile(t, b)
	if p := b.Status().Problems; len(kept)+len(p) != 0 {
		t.Errorf("%q, %q", kept, p)
	}
}

// Whatever is wrong, everything is told and nothing is changed.
func TestReconcileChangesAllOrNothing(t *testing.T) {
	one, err := Plan(spec("x"))
	if err != nil {
		t.Fatal(err)
	}
	dir := tmpfsDir(t)
	b, events := open(t, dir, Limits{MemoryBytes: 4 * one, Rings: 4})
	mustReconcile(t, b, spec("md"), spec("gone"))
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	changedMD := spec("md")
	changedMD.Policy = wire.PolicySkip
	bad := func(name string) wire.RingSpec { s := spec(name); s.Capacity = 1; return s }
	big := spec("big")
	big.Capacity = 1 << 20
	before := b.Rings()
	for what, c := range map[string]struct {
		specs []wire.RingSpec
		want  wire.ErrorName
		says  []string
	}{
		"bad specs":  {[]wire.RingSpec{changedMD, bad("x"), spec("y"), bad("gone")}, wire.ErrInvalidRing, []string{"rings[1] (x): ring x: capacity", "rings[3] (gone): "}},
		"twice":      {[]wire.RingSpec{changedMD, spec("x"), spec("x")}, wire.ErrInvalidRing, []string{"rings[2] (x): ring name is \"x\": expected another name than that of rings[1]"}},
		"too many":   {[]wire.RingSpec{changedMD, spec("x"), spec("y"), spec("z")}, wire.ErrLimitExceeded, []string{"rings[3] (z): limits.rings: 4 rings in use"}},
		"too large":  {[]wire.RingSpec{changedMD, spec("x"), big}, wire.ErrLimitExceeded, []string{"rings[2] (big): limits.memory"}},
		"in the way": {[]wire.RingSpec{changedMD, spec("x"), spec("file")}, wire.ErrRingExists, []string{"rings[2] (file): "}},
	} {
		changed, kept, err := b.Reconcile(c.specs)
		if !errors.Is(err, c.want) || changed != nil || kept != nil {
			t.Errorf("%s: %v, %q, %q", what, err, changed, kept)
			continue
		}
		for _, text := range c.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v does not say %q", what, err, text)
			}
		}
		if after := b.Rings(); !reflect.DeepEqual(after, before) {
			t.Errorf("%s: %+v, want %+v", what, after, before)
		}
	}
	if events.count(EventCreated) != 2 || events.count(EventUpdated) != 0 {
		t.Errorf("%s", events)
	}
	mustReconcile(t, b, changedMD, spec("x"), spec("y")) // at both limits: gone is still there
}

// A ring that cannot be made, or described, takes back what was done before it.
func TestReconcileTakesBack(t *testing.T) {
	dir := tmpfsDir(t)
	b, events := open(t, dir, generous)
	mustReconcile(t, b, spec("md"), spec("stuck"))
	before := b.Rings()
	md, stuck := spec("md"), spec("stuck")
	md.Policy, stuck.Policy = wire.PolicySkip, wire.PolicySkip
	// Its description cannot be written: a folder is in the place of the file.
	if err := os.Mkdir(filepath.Join(dir, "stuck", metaName+tempSuffix), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Reconcile([]wire.RingSpec{md, spec("new"), stuck}); err == nil || !strings.Contains(err.Error(), "rings[2] (stuck): update its description") {
		t.Errorf("%v", err)
	}
	if after := b.Rings(); !reflect.DeepEqual(after, before) {
		t.Errorf("%+v, want %+v", after, before)
	}
	if events.count(EventCreated) != 3 || events.count(EventRemoved) != 1 || events.count(EventUpdated)+events.count(EventFailed) != 0 {
		t.Errorf("%s", events)
	}
	b, _ = restart(t, b)
	for i, r := range b.Rings() { // on disk as well
		if r.Policy != before[i].Policy || len(b.Rings()) != 2 {
			t.Errorf("%+v", r)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Reconcile([]wire.RingSpec{spec("md")}); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// New rules are for attachments to come; a resume_for that becomes less is for
// the cursors there are, one that becomes more is not.
func TestReconcileWhileAttached(t *testing.T) {
	s := newStage(t)
	s.child.kill()
	s.b.sweep()
	until := func() int64 { t.Helper(); return s.only(t).ResumeUntilNS }
	began := s.clock.now()
	md := keeping("md")
	for _, c := range []struct{ resumeFor, left time.Duration }{{time.Hour, resumeFor}, {resumeFor, resumeFor}, {resumeFor - 1, resumeFor - 1}, {time.Second, time.Second}, {time.Minute, time.Second}} {
		md.ResumeForNS = new(int64(c.resumeFor))
		mustReconcile(t, s.b, md)
		if got := until() - began.UnixNano(); got != int64(c.left) {
			t.Errorf("resume_for %s leaves %s, want %s", c.resumeFor, time.Duration(got), c.left)
		}
	}
	s.reopen(t, func() {})
	if got := until() - began.UnixNano(); got != int64(time.Second) {
		t.Errorf("after a restart %s are left", time.Duration(got))
	}
	md.ResumeForNS = nil
	mustReconcile(t, s.b, md)
	s.b.sweep()
	wantIDs(t, s.b, "md", "md/p0.1 detached")

	// A reader that attached while no cursors were kept stores none, and leaves none.
	lives := startChild(t)
	mustAttach(t, s.b, named(3, lives.handle, "late"))
	mustReconcile(t, s.b, keeping("md"))
	lives.kill()
	s.b.sweep()
	wantIDs(t, s.b, "md", "md/p0.1 detached")
}
