package broker

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// mirrorOf is what the gateway asks for when "there" has a ring of that geometry.
func mirrorOf(name string, epoch uint64) MirrorSpec {
	return MirrorSpec{
		Name: name, Peer: "there", Ring: "md", ConsumersMax: 4, ResumeForNS: 30e9,
		Config: shmring.Config{Capacity: 64 << 10, RecordMax: 4096, Epoch: epoch, Key: 3 << 60, Timestamps: true, ConsumersMax: 64},
		Allow:  wire.Allow{Consume: &wire.Principals{Groups: []string{"trading"}}},
	}
}

func mustMirror(t *testing.T, b *Broker, s MirrorSpec) wire.Ring {
	t.Helper()
	r, err := b.CreateMirror(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mustOpenMirror(t *testing.T, b *Broker, name string) *shmring.Mirror {
	t.Helper()
	m, err := b.OpenMirror(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// A mirror is as its origin: epoch, key, geometry, and where it starts.
func TestMirror(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	s := mirrorOf("md.there", 1000)
	s.Start = shmring.Boundary{Position: 1 << 20, Sequence: 500}
	r := mustMirror(t, b, s)
	want := wire.Ring{
		Name: "md.there", Epoch: 1000, Capacity: 64 << 10, RecordMax: 4096, Producers: wire.ProducersOne, ConsumersMax: 4,
		Timestamps: true, Policy: wire.PolicyDemote, DemoteAfterNS: 1e9, ResumeForNS: 30e9, Allow: copyAllow(s.Allow),
		CreatedNS: r.CreatedNS, MemoryBytes: memoryBytes(r), Owner: daemonUID, Mirror: &wire.MirrorOf{Peer: "there", Ring: "md"},
	}
	if !reflect.DeepEqual(r, want) || events.count(EventCreated) != 1 {
		t.Errorf("got %+v, want %+v", r, want)
	}
	m := mustOpenMirror(t, b, "md.there")
	config := s.Config
	config.ConsumersMax, config.Mirror = 4, true
	if m.Config() != config || m.End() != s.Start {
		t.Errorf("opened: %+v at %+v, want %+v at %+v", m.Config(), m.End(), config, s.Start)
	}
	if st, err := b.Stats("md.there"); err != nil || st.Rings[0].Position != 1<<20 || st.Rings[0].Sequence != 500 {
		t.Errorf("stats: %+v, %v", st, err)
	}
	q := request(1, self(t), "md.there", wire.RoleConsumer)
	mustAttach(t, b, q)
	q.In.Role = wire.RoleProducer
	q.Authorize = func(wire.Ring) error { return errors.New("asked for rights") }
	err := attachError(t, b, q)
	var e *wire.Error
	var p wire.AccessDeniedParameters
	if !errors.As(err, &e) || e.Name != wire.ErrAccessDenied || e.Decode(&p) != nil || p.Rule != "mirror" ||
		!strings.Contains(err.Error(), "mirrors ring md of there") {
		t.Errorf("a producer: %v, %+v", err, p)
	}
}

// What is there is taken as it is, with the live keys of the configuration.
func TestMirrorAgain(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	first := mustMirror(t, b, mirrorOf("m", 1000))
	s := mirrorOf("m", 1000)
	s.ConsumersMax, s.ResumeForNS, s.Allow = 9, 60e9, wire.Allow{}
	again := mustMirror(t, b, s)
	if again.ConsumersMax != 4 || again.ResumeForNS != 60e9 || again.Allow.Consume != nil || again.CreatedNS != first.CreatedNS || again.Managed {
		t.Errorf("again: %+v", again)
	}
	if events.count(EventCreated) != 1 || events.count(EventUpdated) != 1 {
		t.Errorf("events: %s", events)
	}
	problems := b.Status().Problems
	wantLines(t, problems, "consumers_max is 4 and not 9; to change it remove the ring (brokerctl ring rm --force m): the gateway makes it anew")
	if d, err := b.DescribeRing("m"); err != nil || !reflect.DeepEqual([]string(d.Problems), problems) {
		t.Errorf("described: %+v, %v", d.Problems, err)
	}
	b, events = restart(t, b)
	mustMirror(t, b, s)
	if got := b.Rings(); len(got) != 1 || got[0].ResumeForNS != 60e9 || events.count(EventUpdated) != 0 {
		t.Errorf("after a restart: %+v, %s", got, events)
	}
}

func TestMirrorRefusals(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), Limits{MemoryBytes: 1 << 20, Rings: 3, Attachments: 8})
	mustCreate(t, b, spec("ours"))
	mustMirror(t, b, mirrorOf("m", 1000))
	change := func(f func(*MirrorSpec)) MirrorSpec { s := mirrorOf("m", 1000); f(&s); return s }
	for what, tc := range map[string]struct {
		spec MirrorSpec
		name wire.ErrorName
		says string
	}{
		"a ring of this host":  {mirrorOf("ours", 1000), wire.ErrRingExists, "ring ours is a ring of this host"},
		"of another peer":      {change(func(s *MirrorSpec) { s.Peer = "elsewhere" }), wire.ErrRingExists, "ring m mirrors ring md of there"},
		"of another ring":      {change(func(s *MirrorSpec) { s.Ring = "other" }), wire.ErrRingExists, "ring m mirrors ring md of there"},
		"made anew":            {mirrorOf("m", 1001), wire.ErrEpochChanged, "at epoch 1000"},
		"an older one":         {mirrorOf("m", 999), wire.ErrEpochChanged, "epoch 999"},
		"another key":          {change(func(s *MirrorSpec) { s.Config.Key++ }), wire.ErrEpochChanged, "made anew"},
		"another geometry":     {change(func(s *MirrorSpec) { s.Config.Capacity *= 2 }), wire.ErrEpochChanged, "made anew"},
		"another flag":         {change(func(s *MirrorSpec) { s.Config.Checksum = true }), wire.ErrEpochChanged, "made anew"},
		"no key":               {change(func(s *MirrorSpec) { s.Config.Key = 0 }), wire.ErrInvalidRing, "key"},
		"a short key":          {change(func(s *MirrorSpec) { s.Config.Key = 7 }), wire.ErrInvalidRing, "key"},
		"no epoch":             {mirrorOf("x", 0), wire.ErrInvalidRing, "epoch 0"},
		"an epoch past 2^63-1": {mirrorOf("x", 1<<63), wire.ErrInvalidRing, "epoch 9223372036854775808"},
		"an odd capacity":      {change(func(s *MirrorSpec) { s.Config.Capacity++ }), wire.ErrInvalidRing, "capacity"},
		"huge records":         {change(func(s *MirrorSpec) { s.Config.RecordMax = 1 << 31 }), wire.ErrInvalidRing, "record_max"},
		"no name":              {mirrorOf("", 1000), wire.ErrInvalidRing, "name"},
		"no peer":              {change(func(s *MirrorSpec) { s.Peer = "" }), wire.ErrInvalidRing, "peer"},
		"too large":            {change(func(s *MirrorSpec) { s.Name, s.Config.Capacity = "x", 1<<20 }), wire.ErrLimitExceeded, "limits.memory"},
	} {
		_, err := b.CreateMirror(tc.spec)
		var e *wire.Error
		if !errors.As(err, &e) || e.Name != tc.name || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %s with %q", what, err, tc.name, tc.says)
		}
	}
	mustMirror(t, b, mirrorOf("third", 5))
	if _, err := b.CreateMirror(mirrorOf("fourth", 5)); !errors.Is(err, wire.ErrLimitExceeded) {
		t.Errorf("past limits.rings: %v", err)
	}
	for name, want := range map[string]error{"ours": wire.ErrInvalidRing, "nosuch": wire.ErrRingNotFound} {
		if _, err := b.OpenMirror(name); !errors.Is(err, want) {
			t.Errorf("open %s: %v", name, err)
		}
	}
	r := b.rings["m"]
	b.retire(r, errors.New("planted"))
	if _, err := b.OpenMirror("m"); !errors.Is(err, wire.ErrRingCorrupt) {
		t.Errorf("open a corrupt one: %v", err)
	}
	if _, err := b.CreateMirror(mirrorOf("m", 1000)); !errors.Is(err, wire.ErrRingCorrupt) {
		t.Errorf("a corrupt one: %v", err)
	}
}

// What another host says of its epochs does not become that of rings made here.
func TestMirrorLeavesEpochsAlone(t *testing.T) {
	c := newClock()
	dir := tmpfsDir(t)
	b, _ := openAt(t, dir, generous, c.now)
	mustMirror(t, b, mirrorOf("m", 1<<63-1))
	for _, name := range []string{"a", "b"} {
		if r := mustCreate(t, b, spec(name)); r.Epoch < uint64(c.now().UnixMicro()) || r.Epoch > uint64(c.now().UnixMicro())+1 {
			t.Errorf("ring %s has epoch %d", name, r.Epoch)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b, _ = openAt(t, dir, generous, c.now)
	}
}

// A mirror that the gateway writes to goes only by force, and the writer learns it.
func TestRemoveMirror(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	s := mirrorOf("m", 1000)
	mustMirror(t, b, s)
	m := mustOpenMirror(t, b, "m")
	err := b.RemoveRing("m", false)
	if !errors.Is(err, wire.ErrRingInUse) || !strings.Contains(err.Error(), "mirrors ring md of there") {
		t.Fatalf("without force: %v", err)
	}
	lease := mustAttach(t, b, request(1, self(t), "m", wire.RoleConsumer))
	c := reader(t, lease, shmring.PolicyDemote)
	if err := b.RemoveRing("m", true); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Progress(); !errors.Is(err, shmring.ErrRemoved) {
		t.Errorf("the writer: %v", err)
	}
	if _, err := c.TryReceive(); !errors.Is(err, shmring.ErrRemoved) {
		t.Errorf("a reader: %v", err)
	}
	mustMirror(t, b, s) // anew, with the same epoch
	if err := b.RemoveRing("m", false); err != nil {
		t.Errorf("one that nobody writes to yet: %v", err)
	}
	mustMirror(t, b, s)
	mustOpenMirror(t, b, "m")
	b.ReleaseMirror("m")
	b.ReleaseMirror("nosuch")
	if err := b.RemoveRing("m", false); err != nil {
		t.Errorf("one that nobody writes to any more: %v", err)
	}
}

// A mirror stays what it is over restarts, and is no ring of the configuration's.
func TestAdoptMirror(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	made := mustMirror(t, b, mirrorOf("m", 1000))
	b, _ = restart(t, b)
	if got := b.Rings(); len(got) != 1 || !reflect.DeepEqual(got[0], made) {
		t.Errorf("adopted %+v, want %+v", got, made)
	}
	want := spec("m")
	want.Policy = wire.PolicySkip
	changed, kept := mustReconcile(t, b, want)
	wantLines(t, changed)
	wantLines(t, kept, "it mirrors ring md of there and stays a mirror")
	if p := b.Status().Problems; !reflect.DeepEqual(p, kept) || b.Rings()[0].Managed || b.Rings()[0].Policy != wire.PolicyDemote {
		t.Errorf("problems %q, %+v", p, b.Rings()[0])
	}
	changed, kept = mustReconcile(t, b)
	wantLines(t, append(changed, kept...))
	if p := b.Status().Problems; len(p) != 0 {
		t.Errorf("problems: %q", p)
	}
	if err := b.RemoveRing("m", false); err != nil { // its peer is in no configuration any more
		t.Error(err)
	}
}

// One whose files are not what they are said to be is quarantined like any ring; its
// successor is what they are said to be.
func TestQuarantineMirror(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustMirror(t, b, mirrorOf("m", 1000))
	r := b.rings["m"].info
	r.Mirror = nil
	if err := b.writeMeta(b.rings["m"].dir, r); err != nil {
		t.Fatal(err)
	}
	b, _ = restart(t, b)
	if s := b.Status(); s.Rings != 1 || len(s.Quarantined) != 1 || b.rings["m"].info.Mirror != nil {
		t.Errorf("a description that denies it: %+v", s)
	}
}

// What the daemon holds itself ends with it, whoever has its pid then; what it
// ended while it runs is freed by the gateway.
func TestGatewayAttachments(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, many("md"))
	kept := many("kept")
	kept.ResumeForNS = new(int64(time.Hour))
	mustCreate(t, b, kept)
	us := self(t)
	for _, ring := range []string{"md", "kept"} {
		for _, role := range []wire.Role{wire.RoleConsumer, wire.RoleProducer} {
			q := request(GatewayConn, us, ring, role)
			q.In.Name, q.UID = "link.there", daemonUID
			mustAttach(t, b, q)
		}
	}
	mustAttach(t, b, request(1, us, "md", wire.RoleConsumer)) // of another connection: a process like any other

	if err := b.Detach("md/c0.1", func(wire.Attachment, uint64) error { return ErrEvict }); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, b, "md", "md/c0.1 detached", "md/c1.1 attached", "md/p0.1 attached")
	if err := b.Detach("md/c0.1", func(_ wire.Attachment, conn uint64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, b, "md", "md/c1.1 attached", "md/p0.1 attached")

	b, _ = restart(t, b)
	wantIDs(t, b, "md", "md/c1.1 detached")
	wantIDs(t, b, "kept", "kept/c0.1 resumable")
	if b.Status().Repairs != 2 {
		t.Errorf("%d repairs, want those of two producers", b.Status().Repairs)
	}
	b, _ = restart(t, b) // the cursor is nobody's, and stays
	wantIDs(t, b, "kept", "kept/c0.1 resumable")
	q := request(GatewayConn, us, "kept", wire.RoleConsumer)
	q.In.Name, q.UID, q.In.Resume = "link.there", daemonUID, true
	if l := mustAttach(t, b, q); !l.Out.Resumed || l.Out.Attachment.ID != "kept/c0.2" {
		t.Errorf("resumed: %+v", l.Out)
	}
}
