package broker

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"brokerd/internal/wire"
)

func TestAttachDescribes(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	info := mustCreate(t, b, spec("md"))
	h := self(t)
	q := request(1, h, "md", wire.RoleConsumer)
	q.In.Name, q.In.WaitStrategy = "book", wire.WaitSpin
	lease := mustAttach(t, b, q)
	a := lease.Out.Attachment
	if a.ID != "md/c0.1" || a.Ring != "md" || a.Epoch != info.Epoch || a.Role != wire.RoleConsumer || a.Slot != 0 || a.Generation != 1 ||
		a.Name != "book" || a.PID != os.Getpid() || a.UID != 1000 || a.State != wire.StateAttached || a.Policy != wire.PolicyDemote ||
		a.WaitStrategy != wire.WaitSpin || a.SinceNS == 0 {
		t.Errorf("consumer: %+v", a)
	}
	if lease.Out.Ring != info {
		t.Errorf("ring: %+v, want %+v", lease.Out.Ring, info)
	}
	q.In.Policy = wire.PolicyBlock
	if a := mustAttach(t, b, q).Out.Attachment; a.ID != "md/c1.1" || a.Policy != wire.PolicyBlock {
		t.Errorf("second consumer: %+v", a)
	}
	if a := mustAttach(t, b, request(1, h, "md", wire.RoleProducer)).Out.Attachment; a.ID != "md/p0.1" || a.Policy != "" {
		t.Errorf("producer: %+v", a)
	}
	wantIDs(t, b, "", "md/c0.1 attached", "md/c1.1 attached", "md/p0.1 attached")
	if s := b.Status(); s.Attachments != 3 || s.AttachmentsMax != generous.Attachments || events.count(EventAttached) != 3 {
		t.Errorf("status: %+v", s)
	}
	stats, err := b.Stats("md")
	if err != nil || len(stats.Rings) != 1 || stats.Rings[0].Consumers != 2 || stats.Rings[0].Producers != 1 || stats.TimeNS == 0 {
		t.Errorf("stats: %+v, %v", stats, err)
	}
}

// The files that ride with a lease, and nothing more than they are for.
func TestLeaseFiles(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	h := self(t)
	for role, want := range map[wire.Role]struct {
		cursors      int
		data, cursor int
	}{
		wire.RoleConsumer: {1, unix.O_RDONLY, unix.O_RDWR},
		wire.RoleProducer: {4, unix.O_RDWR, unix.O_RDONLY},
	} {
		lease := mustAttach(t, b, request(1, h, "md", role))
		f := lease.Out.Files
		if f.Data != 0 || len(f.Cursors) != want.cursors || len(lease.Files) != 1+want.cursors {
			t.Fatalf("%s: %+v, %d files", role, f, len(lease.Files))
		}
		for i, file := range lease.Files {
			mode := want.cursor
			if i == f.Data {
				mode = want.data
			} else if f.Cursors[i-1] != i {
				t.Errorf("%s: cursors %v", role, f.Cursors)
			}
			flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
			if err != nil || flags&unix.O_ACCMODE != mode {
				t.Errorf("%s: file %d has flags %o, want mode %o (%v)", role, i, flags, mode, err)
			}
			if fd, err := unix.FcntlInt(file.Fd(), unix.F_GETFD, 0); err != nil || fd&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s: file %d survives exec", role, i)
			}
		}
	}
}

func TestAttachRefusals(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	info := mustCreate(t, b, spec("md"))
	h := self(t)
	denied := errors.New("denied")
	for what, c := range map[string]struct {
		change func(*AttachRequest)
		want   error
		says   string
	}{
		"no ring":         {func(q *AttachRequest) { q.In.Ring = "other" }, wire.ErrRingNotFound, "other"},
		"epoch":           {func(q *AttachRequest) { q.In.Epoch = new(info.Epoch + 1) }, wire.ErrEpochChanged, fmt.Sprint(info.Epoch)},
		"rights":          {func(q *AttachRequest) { q.Authorize = func(wire.Ring) error { return denied } }, denied, ""},
		"role":            {func(q *AttachRequest) { q.In.Role = "spy" }, wire.ErrInvalidParameter, `"spy"`},
		"name":            {func(q *AttachRequest) { q.In.Name = "a b" }, wire.ErrInvalidParameter, `"a b"`},
		"long name":       {func(q *AttachRequest) { q.In.Name = strings.Repeat("n", 65) }, wire.ErrInvalidParameter, "1 to 64"},
		"token":           {func(q *AttachRequest) { q.In.Token = "ü" }, wire.ErrInvalidParameter, "token"},
		"long token":      {func(q *AttachRequest) { q.In.Token = strings.Repeat("t", 65) }, wire.ErrInvalidParameter, "token"},
		"policy":          {func(q *AttachRequest) { q.In.Policy = "hope" }, wire.ErrInvalidParameter, `"hope"`},
		"resume nameless": {func(q *AttachRequest) { q.In.Resume = true }, wire.ErrInvalidParameter, "no name"},
		"producer resume": {func(q *AttachRequest) { q.In.Role, q.In.Name, q.In.Resume = wire.RoleProducer, "n", true }, wire.ErrInvalidParameter, "only a consumer"},
		"wait strategy":   {func(q *AttachRequest) { q.In.WaitStrategy = "nap" }, wire.ErrInvalidParameter, `"nap"`},
		"producer policy": {func(q *AttachRequest) { q.In.Role, q.In.Policy = wire.RoleProducer, wire.PolicySkip }, wire.ErrInvalidParameter, "policy"},
	} {
		q := request(1, h, "md", wire.RoleConsumer)
		c.change(&q)
		before := openFDs(t)
		err := attachError(t, b, q)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", what, err)
		}
		if after := openFDs(t); after != before {
			t.Errorf("%s: %d descriptors before, %d after", what, before, after)
		}
	}
	wantIDs(t, b, "")
	q := request(1, h, "md", wire.RoleConsumer) // everything at its limit
	q.In.Epoch, q.In.Name, q.In.Token = &info.Epoch, strings.Repeat("n", 64), strings.Repeat("t", 64)
	q.Authorize = func(r wire.Ring) error {
		if r != info {
			t.Errorf("authorize saw %+v", r)
		}
		return nil
	}
	if a := mustAttach(t, b, q).Out.Attachment; a.ID != "md/c0.1" {
		t.Errorf("refusals used up a slot or a generation: %+v", a)
	}
}

func TestAttachmentsLimit(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), Limits{MemoryBytes: 64 << 20, Rings: 2, Attachments: 2})
	mustCreate(t, b, spec("md"))
	h := self(t)
	first := mustAttach(t, b, request(1, h, "md", wire.RoleConsumer))
	q := request(1, h, "md", wire.RoleProducer)
	q.In.Token = "t"
	mustAttach(t, b, q)
	err := attachError(t, b, request(1, h, "md", wire.RoleConsumer))
	if !errors.Is(err, wire.ErrLimitExceeded) || !strings.Contains(err.Error(), "limits.attachments: 2 attachments in use, 1 more wanted, at most 2") {
		t.Errorf("%v", err)
	}
	mustAttach(t, b, q) // again, which is none more
	if err := b.Detach(first.Out.Attachment.ID, func(wire.Attachment, uint64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	mustAttach(t, b, request(3, h, "md", wire.RoleConsumer))
	b.ConnectionClosed(3)
	mustAttach(t, b, request(1, h, "md", wire.RoleConsumer)) // in place of the one that let go
}

// A daemon that dies while it binds a slot leaves it on record as one that may
// be bound and was promised to nobody, which the next daemon frees.
func TestRecordBeforeBind(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	r, ref := b.rings["md"], slotRef{wire.RoleConsumer, 0}
	q := request(1, self(t), "md", wire.RoleConsumer)
	a := &attachment{ring: r, ref: ref, record: b.newRecord(r, ref, q)}
	mem := r.mem
	r.mem = nil // to touch the ring is a panic, which ends it here
	func() {
		defer func() { _ = recover() }()
		_ = b.bind(a, q.In, false)
	}()
	r.mem = mem
	if rec := r.slots.get(ref); rec.State != slotOffered || rec.Generation != 1 || rec.PID != os.Getpid() {
		t.Errorf("%+v", rec)
	}
	if err := r.bind(ref, a.record, q.In); err != nil { // it had come that far
		t.Fatal(err)
	}
	b, _ = restart(t, b)
	if rec := b.rings["md"].slots.get(ref); rec.State != slotFree || rec.Generation != 1 || rec.UID != q.UID || len(b.attachments) != 0 {
		t.Errorf("the next daemon: %+v, %d attachments", rec, len(b.attachments))
	}
	if s, err := b.rings["md"].mem.ConsumerStats(ref.slot); err != nil || s.Policy != 0 {
		t.Errorf("it is bound: %+v, %v", s, err)
	}
}

// When the ring refuses, the slot is free for the next one, or what it was.
func TestBindFails(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	r, ref := b.rings["md"], slotRef{wire.RoleConsumer, 0}
	q := request(1, self(t), "md", wire.RoleConsumer)
	for zombie, want := range map[bool]slotState{false: slotFree, true: slotZombie} {
		a := &attachment{ring: r, ref: ref, record: b.newRecord(r, ref, q)}
		a.record.Policy = "hope"
		if err := b.bind(a, q.In, zombie); err == nil || r.slots.get(ref).State != want {
			t.Errorf("%v: %v, %+v", zombie, err, r.slots.get(ref))
		}
	}
}
