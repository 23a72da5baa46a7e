package broker

import (
	"errors"
	"testing"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// reopen is a restart of the daemon on the stage's clock.
func (s *stage) reopen(t *testing.T, meanwhile func()) {
	t.Helper()
	if err := s.b.Close(); err != nil {
		t.Fatal(err)
	}
	meanwhile()
	s.b, s.events = openAt(t, s.b.dir, s.b.limits, s.clock.now)
	if st := s.b.Status(); st.Adopted != 1 || len(st.Problems) != 0 {
		t.Fatalf("%+v", st)
	}
}

// Cursors outlive the daemon, with the deadline that they had; a reader that died
// while no daemon ran leaves one.
func TestAdoptionOfCursors(t *testing.T) {
	for what, c := range map[string]struct {
		before, meanwhile func(s *stage)
		left              time.Duration // of the deadline when it is adopted
	}{
		"a cursor": {
			func(s *stage) { s.child.kill(); s.b.sweep() },
			func(s *stage) { s.clock.pass(resumeFor / 3) },
			resumeFor - resumeFor/3,
		},
		"died meanwhile": {
			func(*stage) {},
			func(s *stage) { s.clock.pass(time.Hour); s.child.kill() },
			resumeFor,
		},
		"lost its connection, then died meanwhile": {
			func(s *stage) { s.b.ConnectionClosed(1) },
			func(s *stage) { s.clock.pass(resumeFor / 3); s.child.kill() },
			resumeFor - resumeFor/3,
		},
		"clock set back": {
			func(s *stage) { s.child.kill(); s.b.sweep() },
			func(s *stage) { s.clock.pass(-time.Hour) },
			resumeFor,
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t)
			c.before(s)
			s.reopen(t, func() { c.meanwhile(s) })
			a := s.only(t)
			if a.ID != "md/c0.1" || a.State != wire.StateResumable || a.ResumeUntilNS != s.clock.now().Add(c.left).UnixNano() || a.Sequence != 2 {
				t.Errorf("%+v, want %s left", a, c.left)
			}
			s.wantHeld(t, true)
			s.clock.pass(c.left - time.Nanosecond)
			s.b.sweep()
			l := mustAttach(t, s.b, resuming(3, self(t), "risk"))
			if !l.Out.Resumed || l.Out.Attachment.ID != "md/c0.2" {
				t.Errorf("%+v", l.Out)
			}
			readOne(t, reader(t, l, shmring.PolicyBlock), 2)
		})
	}
}

// What was past its deadline when the daemon came back is ended by Open.
func TestAdoptionPastTheDeadline(t *testing.T) {
	for what, c := range map[string]struct {
		before func(s *stage)
		want   []string
	}{
		"a cursor":       {func(s *stage) { s.child.kill(); s.b.sweep() }, []string{"md/p0.1 detached"}},
		"lives, unheard": {func(s *stage) { s.b.ConnectionClosed(1) }, []string{"md/c0.1 detached", "md/p0.1 detached"}},
		"died unheard":   {func(s *stage) { s.b.ConnectionClosed(1); s.child.kill() }, []string{"md/p0.1 detached"}},
	} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t)
			c.before(s)
			s.reopen(t, func() { s.clock.pass(resumeFor) })
			wantIDs(t, s.b, "md", c.want...)
			s.wantHeld(t, false)
			if l := mustAttach(t, s.b, resuming(3, self(t), "risk")); l.Out.Resumed {
				t.Errorf("%+v", l.Out)
			}
		})
	}
}

// A reader that lives and was connected when the daemon died has no deadline.
func TestAdoptionOfALivingReader(t *testing.T) {
	s := newStage(t)
	s.reopen(t, func() { s.clock.pass(2 * resumeFor) })
	s.b.sweep()
	if a := s.only(t); a.State != wire.StateDetached || a.EndedReason != "" {
		t.Errorf("%+v", a)
	}
	s.wantHeld(t, true)
	if err := attachError(t, s.b, resuming(3, self(t), "risk")); !errors.Is(err, wire.ErrCursorInUse) {
		t.Error(err)
	}
}

// The daemon died while it handed a cursor over: the new reader was not told, and
// the cursor is still one, at either step.
func TestAdoptionBetweenStepsOfResume(t *testing.T) {
	for what, bind := range map[string]bool{"on record, not bound": false, "bound, not on record": true} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t)
			s.child.kill()
			s.b.sweep()
			r, ref := s.b.rings["md"], slotRef{wire.RoleConsumer, 0}
			q := resuming(3, self(t), "risk")
			rec := r.slots.get(ref)
			rec.Generation++
			if err := r.slots.put(ref, rec); err != nil {
				t.Fatal(err)
			}
			if bind {
				next := rec
				next.Resumed = true
				if err := r.bind(ref, next, q.In); err != nil {
					t.Fatal(err)
				}
			}
			s.reopen(t, func() {})
			wantIDs(t, s.b, "md", "md/c0.2 resumable", "md/p0.1 detached")
			s.wantHeld(t, true)
			l := mustAttach(t, s.b, q)
			if !l.Out.Resumed || l.Out.Attachment.ID != "md/c0.3" {
				t.Errorf("%+v", l.Out)
			}
			readOne(t, reader(t, l, shmring.PolicyBlock), 2)
		})
	}
}

// When the ring or the slot table refuses, the cursor is still one.
func TestRebindFails(t *testing.T) {
	s := newStage(t)
	s.child.kill()
	s.b.sweep()
	q := resuming(3, self(t), "risk")
	q.In.Policy = "" // takes the ring's, which is none
	s.b.rings["md"].info.Policy = "hope"
	attachError(t, s.b, q)
	wantIDs(t, s.b, "md", "md/c0.1 resumable", "md/p0.1 attached")
	if len(s.b.procs) != 1 { // the producer's
		t.Errorf("%d processes held", len(s.b.procs))
	}
	s.b.rings["md"].info.Policy = wire.PolicyDemote
	l := mustAttach(t, s.b, resuming(3, self(t), "risk"))
	if !l.Out.Resumed || l.Out.Attachment.ID != "md/c0.3" {
		t.Errorf("%+v", l.Out)
	}
	readOne(t, reader(t, l, shmring.PolicyBlock), 2)
}

// A cursor whose reader truncated its page is gone, and nothing else is.
func TestCursorPageTruncated(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, keeping("md"))
	dies := startChild(t)
	l := mustAttach(t, b, named(1, dies.handle, "risk"))
	dies.kill()
	b.sweep()
	if err := l.Files[1].Truncate(0); err != nil {
		t.Fatal(err)
	}
	b.sweep()
	wantIDs(t, b, "md")
	if events.count(EventExpired) != 1 || events.count(EventRetired) != 0 {
		t.Errorf("%s", events)
	}
	if l := mustAttach(t, b, resuming(2, self(t), "risk")); l.Out.Resumed {
		t.Errorf("%+v", l.Out)
	}
}
