package broker

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// restart closes a broker and opens its directory again.
func restart(t *testing.T, b *Broker) (*Broker, *journal) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, b.dir, b.limits)
}

// Readers and producers of living processes go on over a restart: the gate
// holds all the while, and the token gives the same slot back, untouched.
func TestAdoption(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	info := mustCreate(t, b, spec("md"))
	readers, writers := startChild(t), startChild(t)
	q := request(1, readers.handle, "md", wire.RoleConsumer)
	q.In.Token, q.In.Name, q.In.Policy = "r", "book", wire.PolicyBlock
	lease := mustAttach(t, b, q)
	c := reader(t, lease, shmring.PolicyBlock)
	w := request(2, writers.handle, "md", wire.RoleProducer)
	w.In.Token = "w"
	p := writer(t, mustAttach(t, b, w))
	if err := p.TrySend([]byte("before")); err != nil {
		t.Fatal(err)
	}

	b, events := restart(t, b)
	if s := b.Status(); s.Adopted != 1 || s.Attachments != 2 || len(s.Problems) != 0 || events.count(EventAdopted) != 1 {
		t.Errorf("%+v", s)
	}
	if got := b.Rings(); len(got) != 1 || got[0] != info {
		t.Errorf("%+v, want %+v", got, info)
	}
	wantIDs(t, b, "md", "md/c0.1 detached", "md/p0.1 detached")
	if !fillRing(t, p) {
		t.Fatal("the gate of a kept reader fell")
	}
	run(t, b) // the watch does not disturb it either
	b.sweep()
	if err := push(p); !errors.Is(err, shmring.ErrFull) {
		t.Fatalf("the gate of a kept reader fell: %v", err)
	}
	if r, err := c.TryReceive(); err != nil || string(r.Payload) != "before" || r.Missed != 0 {
		t.Errorf("%+v, %v", r, err)
	}

	q.Conn, q.In.Epoch = 9, &info.Epoch
	again := mustAttach(t, b, q).Out.Attachment
	first := lease.Out.Attachment
	if again.ID != first.ID || again.Name != "book" || again.State != wire.StateAttached || again.SinceNS != first.SinceNS || again.Policy != wire.PolicyBlock {
		t.Errorf("%+v, want %+v", again, first)
	}
	if err := push(p); !errors.Is(err, shmring.ErrFull) {
		t.Fatalf("the gate fell when its reader came back: %v", err)
	}
	// The producer does not come back, and nobody may take its place.
	if err := attachError(t, b, request(9, readers.handle, "md", wire.RoleProducer)); !errors.Is(err, wire.ErrProducerPresent) {
		t.Error(err)
	}
	writers.kill()
	eventually(t, "the dead producer's slot is free", func() bool {
		return slices.Equal(ids(t, b, "md"), []string{"md/c0.1 attached"})
	})
}

// What a process held that died while no daemon ran is taken back at once, and
// generations go on.
func TestAdoptionOfTheDead(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	dies := startChild(t)
	q := request(1, dies.handle, "md", wire.RoleConsumer)
	q.In.Policy = wire.PolicyBlock
	reader(t, mustAttach(t, b, q), shmring.PolicyBlock)
	p := writer(t, mustAttach(t, b, request(2, self(t), "md", wire.RoleProducer)))
	if !fillRing(t, p) {
		t.Fatal("the reader does not gate")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	dies.kill()
	if err := push(p); !errors.Is(err, shmring.ErrFull) {
		t.Fatalf("%v", err)
	}
	b, events := open(t, b.dir, b.limits)
	wantIDs(t, b, "md", "md/p0.1 detached")
	if err := push(p); err != nil || events.count(EventDied) != 1 {
		t.Errorf("%v, %d died", err, events.count(EventDied))
	}
	if a := mustAttach(t, b, request(1, self(t), "md", wire.RoleConsumer)).Out.Attachment; a.ID != "md/c0.2" {
		t.Errorf("%+v", a)
	}
}

// The daemon died between two steps: each is put right by what is on record.
func TestAdoptionBetweenSteps(t *testing.T) {
	h := self(t)
	for what, c := range map[string]struct {
		do   func(t *testing.T, b *Broker)
		want []string
		next string // what the next reader of the same process and user gets
	}{
		"bound, on record as a zombie": {func(t *testing.T, b *Broker) {
			mustAttach(t, b, request(1, h, "md", wire.RoleConsumer))
			r, ref := b.rings["md"], slotRef{wire.RoleConsumer, 0}
			rec := r.slots.get(ref)
			rec.State = slotZombie
			if err := r.slots.put(ref, rec); err != nil {
				t.Fatal(err)
			}
		}, []string{"md/c0.1 detached"}, "md/c0.2"},
		"on record, not bound": {func(t *testing.T, b *Broker) {
			r := b.rings["md"]
			q := request(1, h, "md", wire.RoleConsumer)
			ref := slotRef{wire.RoleConsumer, 0}
			if err := r.slots.put(ref, b.newRecord(r, ref, q)); err != nil {
				t.Fatal(err)
			}
		}, []string{"md/c0.1 detached"}, "md/c0.2"},
		"unbound, still on record": {func(t *testing.T, b *Broker) {
			mustAttach(t, b, request(1, h, "md", wire.RoleConsumer))
			if err := b.rings["md"].mem.UnbindConsumer(0); err != nil {
				t.Fatal(err)
			}
		}, []string{"md/c0.1 detached"}, "md/c0.2"},
		"rebound over a zombie, not yet honoured": {func(t *testing.T, b *Broker) {
			mustAttach(t, b, request(1, h, "md", wire.RoleConsumer))
			b.ConnectionClosed(1)
			r, ref := b.rings["md"], slotRef{wire.RoleConsumer, 0}
			if err := r.slots.put(ref, b.newRecord(r, ref, request(2, h, "md", wire.RoleConsumer))); err != nil {
				t.Fatal(err)
			}
		}, []string{"md/c0.2 detached"}, "md/c0.3"},
		"a zombie": {func(t *testing.T, b *Broker) {
			mustAttach(t, b, request(1, h, "md", wire.RoleConsumer))
			b.ConnectionClosed(1)
		}, []string{"md/c0.1 detached"}, "md/c0.2"},
		"producer on record, not bound": {func(t *testing.T, b *Broker) {
			r, ref := b.rings["md"], slotRef{wire.RoleProducer, 0}
			if err := r.slots.put(ref, b.newRecord(r, ref, request(1, h, "md", wire.RoleProducer))); err != nil {
				t.Fatal(err)
			}
		}, []string{"md/p0.1 detached"}, "md/c0.1"},
		"half a description": {func(t *testing.T, b *Broker) {
			if err := os.WriteFile(filepath.Join(b.dir, "md", metaName+tempSuffix), []byte(`{"form`), 0o600); err != nil {
				t.Fatal(err)
			}
		}, nil, "md/c0.1"},
	} {
		t.Run(what, func(t *testing.T) {
			b, _ := open(t, tmpfsDir(t), generous)
			mustCreate(t, b, spec("md"))
			c.do(t, b)
			b, _ = restart(t, b)
			if s := b.Status(); s.Adopted != 1 || len(s.Problems) != 0 {
				t.Errorf("%+v", s)
			}
			wantIDs(t, b, "md", c.want...)
			if stats, err := b.rings["md"].mem.Stats(); err != nil || stats.Consumers != 0 || stats.Producers != 0 {
				t.Errorf("the ring honours: %+v, %v", stats, err)
			}
			q := request(3, h, "md", wire.RoleConsumer)
			if a := mustAttach(t, b, q).Out.Attachment; a.ID != c.next {
				t.Errorf("the next reader is %s, want %s", a.ID, c.next)
			}
			mustAttach(t, b, request(3, h, "md", wire.RoleProducer))
		})
	}
}

// What a crash left of a creation or a removal is deleted; those who have the
// removed ring mapped are told.
func TestAdoptionCleansUp(t *testing.T) {
	dir := tmpfsDir(t)
	b, _ := open(t, dir, generous)
	mustCreate(t, b, spec("md"))
	mustCreate(t, b, spec("going"))
	c := reader(t, mustAttach(t, b, request(1, self(t), "going", wire.RoleConsumer)), shmring.PolicyDemote)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		os.Rename(filepath.Join(dir, "going"), filepath.Join(dir, ".rm-going-17")),
		os.MkdirAll(filepath.Join(dir, ".new-empty-1"), 0o700),
		os.CopyFS(filepath.Join(dir, ".new-half-2"), os.DirFS(filepath.Join(dir, "md"))),
		os.Truncate(filepath.Join(dir, ".new-half-2", "data"), 100),
	); err != nil {
		t.Fatal(err)
	}
	b, _ = open(t, dir, generous)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left: %v, %v", entries, err)
	}
	if s := b.Status(); s.Rings != 1 || len(s.Problems) != 0 {
		t.Errorf("%+v", s)
	}
	if _, err := receiveAll(c); !errors.Is(err, shmring.ErrRemoved) {
		t.Errorf("a reader of the ring that went: %v", err)
	}
	mustCreate(t, b, spec("going"))
}

// A daemon that may open too few files refuses to start, and harms no ring.
func TestAdoptionShortOfFiles(t *testing.T) {
	dir := tmpfsDir(t)
	b, _ := open(t, dir, generous)
	mustCreate(t, b, spec("md"))
	h := self(t)
	q := request(1, h, "md", wire.RoleConsumer)
	q.In.Policy = wire.PolicyBlock
	reader(t, mustAttach(t, b, q), shmring.PolicyBlock)
	p := writer(t, mustAttach(t, b, request(1, h, "md", wire.RoleProducer)))
	if !fillRing(t, p) {
		t.Fatal("the reader does not gate")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	refusals := 0
	for spare := 0; ; spare++ {
		short := unix.Rlimit{Cur: uint64(openFDs(t) + spare), Max: before.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &short); err != nil {
			t.Fatal(err)
		}
		b, err := Open(Options{Dir: dir, Limits: generous})
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			defer b.Close()
			wantIDs(t, b, "md", "md/c0.1 detached", "md/p0.1 detached")
			break
		}
		if refusals++; !errors.Is(err, unix.EMFILE) || refusals > 100 {
			t.Fatalf("with room for %d files: %v", spare, err)
		}
	}
	if refusals < 5 {
		t.Errorf("only %d refusals", refusals)
	}
	if err := push(p); !errors.Is(err, shmring.ErrFull) {
		t.Errorf("the gate fell: %v", err)
	}
}

// What an earlier brokerd wrote is adopted: it had fewer keys, and let a right
// name nobody.
func TestAdoptionOfOldDescriptions(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	s := spec("md")
	s.Allow = &wire.Allow{Gate: &wire.Principals{Users: []string{"alice"}}}
	info := mustCreate(t, b, s)
	mustAttach(t, b, request(1, self(t), "md", wire.RoleConsumer))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(b.dir, "md", metaName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`\n.*"(resume_for_ns|owner)".*|"alice"`).ReplaceAll(text, nil)
	if bytes.Count(text, []byte("\n")) != bytes.Count(old, []byte("\n"))+2 {
		t.Fatalf("%s", old)
	}
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	table := filepath.Join(b.dir, "md", slotsName)
	if text, err = os.ReadFile(table); err != nil || bytes.Contains(text, []byte("until_ns")) {
		t.Fatalf("%s, %v", text, err) // an ordinary record is as it always was
	}
	b, _ = open(t, b.dir, b.limits)
	got := b.Rings()
	if s := b.Status(); s.Adopted != 1 || len(s.Problems) != 0 || got[0].ResumeForNS != 0 || got[0].Epoch != info.Epoch || len(got[0].Allow.Gate.Users) != 0 {
		t.Errorf("%+v, %+v", s, got)
	}
	wantIDs(t, b, "md", "md/c0.1 detached")
}

func TestClosedBroker(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	s := spec("md")
	s.ConsumersMax = new(20)
	mustCreate(t, b, s)
	h := self(t)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	before := openFDs(t)
	for range 20 {
		b, _ = restart(t, b)
		closeFiles(mustAttach(t, b, request(1, h, "md", wire.RoleConsumer)).Files)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if after := openFDs(t); after != before {
		t.Errorf("%d descriptors before, %d after 20 restarts", before, after)
	}
	if _, err := b.CreateRing(spec("x"), 0); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := attachError(t, b, request(1, h, "md", wire.RoleConsumer)); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := b.RemoveRing("md", true); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	b.ConnectionClosed(1) // of a connection that outlived the broker: it is kept
	b, _ = open(t, b.dir, b.limits)
	if n := b.Status().Attachments; n != 20 {
		t.Errorf("%d attachments kept", n)
	}
}
