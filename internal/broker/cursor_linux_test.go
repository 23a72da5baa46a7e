package broker

import (
	"strings"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

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
