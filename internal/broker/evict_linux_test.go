package broker

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// What the daemon ended says why, and goes on showing what it had done.
func TestEndedKeepsItsFigures(t *testing.T) {
	s := newStage(t)
	before := s.only(t)
	if before.Position == 0 || before.Sequence != 2 || before.LagBytes == 0 || before.EndedReason != "" {
		t.Fatalf("%+v", before)
	}
	const why = "allow.consume of ring md no longer names uid 1000"
	for range 2 {
		if err := s.b.Evict("md/c0.1", why); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.b.Evict("md/c0.1", "another reason"); err != nil {
		t.Fatal(err)
	}
	s.wantHeld(t, false) // and the ring moves on
	want := before
	want.State, want.EndedReason = wire.StateDetached, why
	if after := s.only(t); after != want {
		t.Errorf("%+v, want %+v", after, want)
	}
	if s.events.count(EventEnded) != 1 || s.events.count(EventDetached) != 0 {
		t.Errorf("%s", s.events)
	}
	if err := s.b.Evict("md/c0.9", why); !errors.Is(err, wire.ErrAttachmentNotFound) {
		t.Errorf("%v", err)
	}
	s.child.kill()
	s.b.sweep()
	wantIDs(t, s.b, "md", "md/p0.1 attached")
}

// So does a reader whose connection closed, though nobody ended it, and every
// attachment of a retired ring.
func TestFiguresOfWhatIsNotHonoured(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	h := self(t)
	c := reader(t, mustAttach(t, b, request(1, h, "md", wire.RoleConsumer)), shmring.PolicyDemote)
	lease := mustAttach(t, b, request(2, h, "md", wire.RoleProducer))
	p := writer(t, lease)
	for n := range uint64(3) {
		if err := push(p); err != nil {
			t.Fatal(err)
		}
		readOne(t, c, n)
	}
	if _, err := c.TryReceive(); !errors.Is(err, shmring.ErrEmpty) {
		t.Fatal(err)
	}
	b.ConnectionClosed(1)
	if err := b.Detach("md/p0.1", func(wire.Attachment, uint64) error { return ErrEvict }); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"ended", "retired"} {
		list, err := b.Attachments("md")
		if err != nil || len(list) != 2 || list[0].EndedReason != "" || list[1].EndedReason != endedByAdmin {
			t.Fatalf("%s: %+v, %v", what, list, err)
		}
		for _, a := range list {
			if a.Sequence != 3 || a.Position == 0 || a.State != wire.StateDetached {
				t.Errorf("%s: %+v", what, a)
			}
		}
		b.retire(b.rings["md"], errState)
	}
}

// The refusal to a second producer says what the first one's state asks for.
func TestProducerRefusalSaysWhatToDo(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	first, second := startChild(t), startChild(t)
	pid := first.cmd.Process.Pid
	mustAttach(t, b, request(1, first.handle, "md", wire.RoleProducer))
	refused := func(says string) {
		t.Helper()
		err := attachError(t, b, request(2, second.handle, "md", wire.RoleProducer))
		if !errors.Is(err, wire.ErrProducerPresent) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want it to say %q", err, says)
		}
	}
	refused("let it detach")
	if err := b.Evict("md/p0.1", "because"); err != nil {
		t.Fatal(err)
	}
	refused(fmt.Sprintf("was ended (because), but pid %d lives and can still write to the ring: pid %d must exit first", pid, pid))
	b, _ = restart(t, b)
	refused(fmt.Sprintf("was ended (by an earlier brokerd), but pid %d lives", pid))
	first.kill()
	mustAttach(t, b, request(2, second.handle, "md", wire.RoleProducer))
}

// A reader that truncated its page is told of by name.
func TestTruncatedPageIsAReason(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	l := mustAttach(t, b, request(1, self(t), "md", wire.RoleConsumer))
	if err := l.Files[1].Truncate(0); err != nil {
		t.Fatal(err)
	}
	b.sweep()
	list, err := b.Attachments("md")
	if err != nil || list[0].State != wire.StateDetached || !strings.Contains(list[0].EndedReason, "truncated") {
		t.Errorf("%+v, %v", list, err)
	}
}

// A process that comes back for what was kept and has lost its right to it loses
// that, too: a refusal alone would leave its gate in the ring's way.
func TestKeptIsEndedWithItsRight(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	q := request(1, self(t), "md", wire.RoleConsumer)
	q.In.Token = "t"
	mustAttach(t, b, q)
	denied := errors.New("the right is gone")
	q.Conn, q.Authorize = 2, func(wire.Ring) error { return denied }
	if err := attachError(t, b, q); !errors.Is(err, denied) {
		t.Fatal(err)
	}
	list, err := b.Attachments("md")
	if err != nil || len(list) != 1 || list[0].State != wire.StateDetached || list[0].EndedReason != denied.Error() {
		t.Fatalf("%+v %v", list, err)
	}
}
