package broker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"brokerd/internal/process"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

const resumeFor = 30 * time.Second

// keeping is a ring whose named readers leave cursors.
func keeping(name string) wire.RingSpec {
	s := spec(name)
	s.ResumeForNS = new(int64(resumeFor))
	return s
}

// named is the request of a reader that may be resumed.
func named(conn uint64, h *process.Handle, name string) AttachRequest {
	q := request(conn, h, "md", wire.RoleConsumer)
	q.In.Name, q.In.Policy = name, wire.PolicyBlock
	return q
}

func resuming(conn uint64, h *process.Handle, name string) AttachRequest {
	q := named(conn, h, name)
	q.In.Resume = true
	return q
}

// readOne takes the next record, which must be the nth of those that push made.
func readOne(t *testing.T, c *shmring.Consumer, n uint64) {
	t.Helper()
	if r, err := c.TryReceive(); err != nil || r.Sequence != n || r.Missed != 0 {
		t.Fatalf("record %d with %d missed (%v), want record %d", r.Sequence, r.Missed, err, n)
	}
}

// stage is a ring md of which a block reader named risk has taken two records and
// not the rest, a full lap of them. The reader belongs to a child process.
type stage struct {
	b      *Broker
	events *journal
	clock  *clock
	child  *child
	writer *shmring.Producer
	lease  Lease
}

func newStage(t *testing.T) *stage {
	s := &stage{clock: newClock(), child: startChild(t)}
	s.b, s.events = openAt(t, tmpfsDir(t), generous, s.clock.now)
	mustCreate(t, s.b, keeping("md"))
	s.lease = mustAttach(t, s.b, named(1, s.child.handle, "risk"))
	c := reader(t, s.lease, shmring.PolicyBlock)
	s.writer = writer(t, mustAttach(t, s.b, request(2, self(t), "md", wire.RoleProducer)))
	for n := range uint64(2) {
		if err := push(s.writer); err != nil {
			t.Fatal(err)
		}
		readOne(t, c, n)
	}
	if _, err := c.TryReceive(); !errors.Is(err, shmring.ErrEmpty) { // it is done with them now
		t.Fatal(err)
	}
	if !fillRing(t, s.writer) {
		t.Fatal("the reader does not gate")
	}
	return s
}

// wantHeld checks that the cursor holds the producer, or does not.
func (s *stage) wantHeld(t *testing.T, held bool) {
	t.Helper()
	if err := push(s.writer); errors.Is(err, shmring.ErrFull) != held || err != nil && !held {
		t.Fatalf("the producer: %v, want it held: %v", err, held)
	}
}

func (s *stage) only(t *testing.T) wire.Attachment {
	t.Helper()
	list, err := s.b.Attachments("md")
	if err != nil || len(list) == 0 || list[0].Role != wire.RoleConsumer {
		t.Fatalf("%+v, %v", list, err)
	}
	return list[0]
}

// A reader ends in one of three ways, and the next one goes on where it stopped;
// the producer is held all the while.
func TestResume(t *testing.T) {
	for what, end := range map[string]func(t *testing.T, s *stage){
		"death": func(t *testing.T, s *stage) {
			run(t, s.b)
			s.child.kill()
			eventually(t, "the death is seen", func() bool { return s.events.count(EventCursorKept) == 1 })
		},
		"death that nobody saw": func(_ *testing.T, s *stage) { s.child.kill() },
		"detach": func(t *testing.T, s *stage) {
			for range 2 { // it may ask again
				if err := s.b.Detach("md/c0.1", func(wire.Attachment, uint64) error { return nil }); err != nil {
					t.Fatal(err)
				}
			}
		},
		"connection lost, then death": func(t *testing.T, s *stage) {
			s.b.ConnectionClosed(1)
			wantIDs(t, s.b, "md", "md/c0.1 detached", "md/p0.1 attached")
			s.child.kill()
			s.b.sweep()
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t)
			end(t, s)
			s.wantHeld(t, true)
			if what != "death that nobody saw" {
				a := s.only(t)
				if a.State != wire.StateResumable || a.ID != "md/c0.1" || a.Name != "risk" || a.PID != s.child.cmd.Process.Pid ||
					a.ResumeUntilNS != s.clock.now().Add(resumeFor).UnixNano() || a.Sequence != 2 || a.LagBytes == 0 {
					t.Errorf("the cursor: %+v", a)
				}
			}
			s.clock.pass(resumeFor - time.Nanosecond)
			s.b.sweep()
			next := mustAttach(t, s.b, resuming(3, startChild(t).handle, "risk"))
			a := next.Out.Attachment
			if !next.Out.Resumed || a.ID != "md/c0.2" || a.State != wire.StateAttached || a.ResumeUntilNS != 0 || a.Policy != wire.PolicyBlock {
				t.Errorf("resumed %v: %+v", next.Out.Resumed, a)
			}
			wantIDs(t, s.b, "md", "md/c0.2 attached", "md/p0.1 attached")
			s.wantHeld(t, true)
			c := reader(t, next, shmring.PolicyBlock)
			for n := range uint64(50) {
				readOne(t, c, n+2)
			}
			if s.events.count(EventCursorKept) != 1 || s.events.count(EventResumed) != 1 || s.events.count(EventExpired) != 0 {
				t.Errorf("%s", s.events)
			}
		})
	}
}

// At its deadline a cursor is gone: by the sweep, and to an Attach that comes
// before the sweep.
func TestCursorExpires(t *testing.T) {
	for what, look := range map[string]func(t *testing.T, s *stage){
		"sweep": func(t *testing.T, s *stage) {
			s.b.sweep()
			wantIDs(t, s.b, "md", "md/p0.1 attached")
		},
		"attach": func(*testing.T, *stage) {},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t)
			s.child.kill()
			s.b.sweep()
			s.clock.pass(resumeFor)
			s.wantHeld(t, true)
			look(t, s)
			next := mustAttach(t, s.b, resuming(3, self(t), "risk"))
			if next.Out.Resumed || next.Out.Attachment.Generation != 2 {
				t.Errorf("%+v", next.Out)
			}
			if s.events.count(EventExpired) != 1 {
				t.Errorf("%s", s.events)
			}
			if fillRing(t, s.writer) {
				t.Error("the gate did not fall")
			}
		})
	}
}

// A reader that lost its connection has resume_for to come back: with its token
// it is as if nothing had happened, later it has ended, and leaves no cursor.
func TestConnectionLostForAWhile(t *testing.T) {
	s := newStage(t)
	q := named(5, s.child.handle, "book")
	q.In.Token = "t"
	mustAttach(t, s.b, q)
	s.b.ConnectionClosed(1)
	s.b.ConnectionClosed(5)
	s.clock.pass(resumeFor - time.Nanosecond)
	s.b.sweep()
	wantIDs(t, s.b, "md", "md/c0.1 detached", "md/c1.1 detached", "md/p0.1 attached")
	s.wantHeld(t, true)
	q.Conn = 6
	if a := mustAttach(t, s.b, q).Out.Attachment; a.ID != "md/c1.1" || a.State != wire.StateAttached {
		t.Errorf("%+v", a)
	}
	s.clock.pass(time.Nanosecond)
	s.b.sweep()
	a := s.only(t)
	if a.State != wire.StateDetached || !strings.Contains(a.EndedReason, "within resume_for") || a.Sequence != 2 || a.Position == 0 {
		t.Errorf("%+v", a)
	}
	if rec := s.b.rings["md"].slots.get(slotRef{wire.RoleConsumer, 0}); rec.State != slotZombie || rec.UntilNanos != 0 {
		t.Errorf("on record: %+v", rec)
	}
	s.clock.pass(resumeFor)
	s.b.sweep()
	wantIDs(t, s.b, "md", "md/c0.1 detached", "md/c1.1 attached", "md/p0.1 attached")
	s.child.kill()
	s.b.sweep()
	list, err := s.b.Attachments("md")
	if err != nil || len(list) != 2 || list[0].Name != "book" || list[0].State != wire.StateResumable {
		t.Errorf("%+v, %v", list, err)
	}
}

// The deadline of a cursor counts from the loss of the connection, not from the
// death after it.
func TestDeadlineCountsFromTheEnd(t *testing.T) {
	s := newStage(t)
	s.b.ConnectionClosed(1)
	until := s.clock.now().Add(resumeFor).UnixNano()
	s.clock.pass(resumeFor / 2)
	s.child.kill()
	s.b.sweep()
	if a := s.only(t); a.ResumeUntilNS != until {
		t.Errorf("until %d, want %d", a.ResumeUntilNS, until)
	}
}

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

// A reply that was lost is asked for again with the token, and says again that
// the reader resumed, after a restart too.
func TestResumedIsSaidAgain(t *testing.T) {
	s := newStage(t)
	s.child.kill()
	q := resuming(3, self(t), "risk")
	q.In.Token = "t"
	mustAttach(t, s.b, q)
	q.Conn = 4
	if l := mustAttach(t, s.b, q); !l.Out.Resumed || l.Out.Attachment.ID != "md/c0.2" {
		t.Errorf("%+v", l.Out)
	}
	s.b, s.events = restart(t, s.b)
	if l := mustAttach(t, s.b, q); !l.Out.Resumed || l.Out.Attachment.ID != "md/c0.2" {
		t.Errorf("after a restart: %+v", l.Out)
	}
}

// Of a ring that does not hold a reader's place any more the next one learns
// exactly what it missed.
func TestResumeWithoutAGate(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, keeping("md"))
	dies := startChild(t)
	q := named(1, dies.handle, "risk")
	q.In.Policy = wire.PolicySkip
	c := reader(t, mustAttach(t, b, q), shmring.PolicySkip)
	p := writer(t, mustAttach(t, b, request(2, self(t), "md", wire.RoleProducer)))
	if err := push(p); err != nil {
		t.Fatal(err)
	}
	readOne(t, c, 0)
	dies.kill()
	if fillRing(t, p) {
		t.Fatal("a skip reader holds the producer")
	}
	q.In.Resume, q.Process = true, self(t)
	l := mustAttach(t, b, q)
	r, err := reader(t, l, shmring.PolicySkip).TryReceive()
	if err != nil || !l.Out.Resumed || r.Missed == 0 || r.Missed > r.Sequence || r.Sequence-r.Missed > 1 {
		t.Errorf("resumed %v, record %d after %d missed, %v", l.Out.Resumed, r.Sequence, r.Missed, err)
	}
	t.Logf("record %d after %d missed", r.Sequence, r.Missed)
}
