package broker

import (
	"errors"
	"strings"
	"testing"

	"brokerd/internal/wire"
)

func TestCursorRefusals(t *testing.T) {
	s := newStage(t)
	other := startChild(t)
	wantInUse := func(q AttachRequest) {
		t.Helper()
		err := attachError(t, s.b, q)
		var e *wire.Error
		var p wire.CursorInUseParameters
		if !errors.As(err, &e) || e.Name != wire.ErrCursorInUse || e.Decode(&p) != nil || p.PID != s.child.cmd.Process.Pid || p.Name != "risk" {
			t.Errorf("%v, %+v", err, p)
		}
	}
	wantForeign := func() {
		t.Helper()
		q := resuming(3, other.handle, "risk")
		q.UID = 1001
		err := attachError(t, s.b, q)
		var e *wire.Error
		var p wire.AccessDeniedParameters
		if !errors.As(err, &e) || e.Name != wire.ErrAccessDenied || e.Decode(&p) != nil || p.Rule != "resume" || !strings.Contains(e.Message, "belongs to uid 1000") {
			t.Errorf("%v, %+v", err, p)
		}
	}
	wantInUse(resuming(3, other.handle, "risk"))
	wantInUse(resuming(3, s.child.handle, "risk")) // the same process, too
	wantForeign()
	s.b.ConnectionClosed(1)
	wantInUse(resuming(3, other.handle, "risk"))
	wantForeign()
	s.child.kill()
	wantForeign()

	// Another user's reader of that name is another reader, and discards nothing.
	q := named(3, other.handle, "risk")
	q.UID = 1001
	if l := mustAttach(t, s.b, q); l.Out.Resumed || l.Out.Attachment.Slot == 0 {
		t.Errorf("%+v", l.Out)
	}
	s.wantHeld(t, true)
	l := mustAttach(t, s.b, resuming(4, other.handle, "other")) // there is none of that name
	if l.Out.Resumed {
		t.Errorf("%+v", l.Out)
	}
	if l := mustAttach(t, s.b, resuming(4, other.handle, "risk")); !l.Out.Resumed || l.Out.Attachment.Slot != 0 {
		t.Errorf("%+v", l.Out)
	}
}

// A reader that begins anew under the name of a cursor discards it, and only it.
func TestCursorDiscarded(t *testing.T) {
	s := newStage(t)
	mustAttach(t, s.b, named(5, s.child.handle, "book"))
	s.child.kill()
	s.b.sweep()
	wantIDs(t, s.b, "md", "md/c0.1 resumable", "md/c1.1 resumable", "md/p0.1 attached")
	l := mustAttach(t, s.b, named(3, self(t), "risk"))
	if l.Out.Resumed || s.events.count(EventExpired) != 1 {
		t.Errorf("%+v, %s", l.Out, s.events)
	}
	wantIDs(t, s.b, "md", "md/c0.2 attached", "md/c1.1 resumable", "md/p0.1 attached")
	s.wantHeld(t, false)
	mustAttach(t, s.b, request(3, self(t), "md", wire.RoleConsumer)) // without a name it is about no cursor
	wantIDs(t, s.b, "md", "md/c0.2 attached", "md/c1.1 resumable", "md/c2.1 attached", "md/p0.1 attached")
}

// Two readers of one name leave two cursors, for two readers to resume.
func TestTwoCursorsOfOneName(t *testing.T) {
	s := newStage(t)
	mustAttach(t, s.b, named(5, s.child.handle, "risk"))
	s.child.kill()
	for _, want := range []string{"md/c0.2", "md/c1.2"} {
		if l := mustAttach(t, s.b, resuming(3, self(t), "risk")); !l.Out.Resumed || l.Out.Attachment.ID != want {
			t.Errorf("%+v, want %s", l.Out, want)
		}
	}
	if err := attachError(t, s.b, resuming(3, self(t), "risk")); !errors.Is(err, wire.ErrCursorInUse) {
		t.Error(err)
	}
}

// Only named readers of a ring that keeps cursors leave one.
func TestNoCursor(t *testing.T) {
	for what, c := range map[string]struct {
		spec wire.RingSpec
		name string
	}{"no name": {keeping("md"), ""}, "resume_for 0": {spec("md"), "risk"}} {
		t.Run(what, func(t *testing.T) {
			b, _ := open(t, tmpfsDir(t), generous)
			mustCreate(t, b, c.spec)
			dies, lives := startChild(t), startChild(t)
			mustAttach(t, b, named(1, dies.handle, c.name))
			mustAttach(t, b, named(2, lives.handle, c.name))
			mustAttach(t, b, named(3, lives.handle, c.name))
			dies.kill()
			b.sweep()
			b.ConnectionClosed(2)
			if err := b.Detach("md/c2.1", func(wire.Attachment, uint64) error { return nil }); err != nil {
				t.Fatal(err)
			}
			wantIDs(t, b, "md", "md/c1.1 detached")
			if l := mustAttach(t, b, resuming(4, lives.handle, "risk")); l.Out.Resumed {
				t.Errorf("%+v", l.Out)
			}
		})
	}
}

// A cursor is a slot that is taken, an attachment that counts, and a hindrance
// to the ring's removal. An administrator ends it at once.
func TestCursorCounts(t *testing.T) {
	c := newClock()
	b, events := openAt(t, tmpfsDir(t), Limits{MemoryBytes: 1 << 20, Rings: 1, Attachments: 2}, c.now)
	s := keeping("md")
	s.ConsumersMax = new(1)
	mustCreate(t, b, s)
	dies := startChild(t)
	mustAttach(t, b, named(1, dies.handle, "risk"))
	dies.kill()
	b.sweep()
	if s := b.Status(); s.Attachments != 1 {
		t.Errorf("%+v", s)
	}
	err := attachError(t, b, named(2, self(t), "other"))
	if !errors.Is(err, wire.ErrSlotsExhausted) || !strings.Contains(err.Error(), "of 1, 0 are held by living processes, 1 are kept for readers to resume and 0 are bound") {
		t.Error(err)
	}
	if err := b.RemoveRing("md", false); !errors.Is(err, wire.ErrRingInUse) {
		t.Errorf("%v", err)
	}
	mustAttach(t, b, request(2, self(t), "md", wire.RoleProducer))
	if l := mustAttach(t, b, resuming(2, self(t), "risk")); !l.Out.Resumed { // which is none more
		t.Errorf("%+v", l.Out)
	}
	if err := b.Detach("md/c0.2", func(wire.Attachment, uint64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := b.Detach("md/c0.2", func(_ wire.Attachment, conn uint64) error {
		if conn != 0 {
			t.Errorf("held by connection %d", conn)
		}
		return ErrEvict
	}); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, b, "md", "md/p0.1 attached")
	if n := events.count(EventDetached); n != 1 {
		t.Errorf("%d detached: %s", n, events)
	}
}

// An administrator's end leaves no cursor, neither at once nor when the process
// is gone.
func TestEvictedLeavesNoCursor(t *testing.T) {
	s := newStage(t)
	if err := s.b.Evict("md/c0.1", "because"); err != nil {
		t.Fatal(err)
	}
	s.wantHeld(t, false)
	if l := mustAttach(t, s.b, resuming(3, self(t), "risk")); l.Out.Resumed {
		t.Errorf("%+v", l.Out)
	}
	s.child.kill()
	s.b.sweep()
	wantIDs(t, s.b, "md", "md/c1.1 attached", "md/p0.1 attached")
}
