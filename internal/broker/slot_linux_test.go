package broker

import (
	"errors"
	"strings"
	"testing"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

func TestOneProducer(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	first, second := startChild(t), startChild(t)
	mustAttach(t, b, request(1, first.handle, "md", wire.RoleProducer))
	err := attachError(t, b, request(2, second.handle, "md", wire.RoleProducer))
	var e *wire.Error
	var p wire.ProducerPresentParameters
	if !errors.As(err, &e) || e.Name != wire.ErrProducerPresent || e.Decode(&p) != nil || p.PID != first.cmd.Process.Pid {
		t.Fatalf("%v, %+v", err, p)
	}

	// A closed connection is not a death.
	b.ConnectionClosed(1)
	wantIDs(t, b, "md", "md/p0.1 detached")
	if err := attachError(t, b, request(2, second.handle, "md", wire.RoleProducer)); !errors.Is(err, wire.ErrProducerPresent) {
		t.Fatal(err)
	}

	// Nobody watches here: Attach itself sees the death.
	first.kill()
	if a := mustAttach(t, b, request(2, second.handle, "md", wire.RoleProducer)).Out.Attachment; a.ID != "md/p0.2" {
		t.Errorf("%+v", a)
	}
	if events.count(EventDied) != 1 {
		t.Errorf("events: %s", events)
	}
}

func TestConsumerSlots(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md")) // with 4 slots
	h := self(t)
	detach := func(id string) {
		t.Helper()
		if err := b.Detach(id, func(wire.Attachment, uint64) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	as := func(uid uint32) AttachRequest {
		q := request(1, h, "md", wire.RoleConsumer)
		q.UID = uid
		return q
	}
	want := func(uid uint32, id string) {
		t.Helper()
		if a := mustAttach(t, b, as(uid)).Out.Attachment; a.ID != id {
			t.Errorf("uid %d got %s, want %s", uid, a.ID, id)
		}
	}
	want(1000, "md/c0.1")
	detach("md/c0.1")
	want(1001, "md/c1.1") // not the other user's slot
	want(1000, "md/c0.2") // its own again
	want(1000, "md/c2.1")
	want(1000, "md/c3.1")
	err := attachError(t, b, as(1000))
	var e *wire.Error
	var p wire.SlotsExhaustedParameters
	if !errors.As(err, &e) || e.Name != wire.ErrSlotsExhausted || e.Decode(&p) != nil || p.Max != 4 || p.Role != wire.RoleConsumer ||
		!strings.Contains(e.Message, "of 4, 4 are held by living processes and 0 are bound to other users") {
		t.Errorf("%v, %+v", err, p)
	}
	detach("md/c1.1")
	if err := attachError(t, b, as(1000)); !strings.Contains(err.Error(), "3 are held by living processes and 1 are bound to other users") {
		t.Error(err)
	}
	want(1001, "md/c1.2")

	// A new epoch has new slots.
	if err := b.RemoveRing("md", true); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, b, spec("md"))
	want(1002, "md/c0.1")
}

// A slot whose process let go without detaching is that process's own.
func TestZombieSlots(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	s := spec("md")
	s.ConsumersMax = new(2)
	mustCreate(t, b, s)
	first, second := startChild(t), startChild(t)
	for conn, token := range map[uint64]string{1: "one", 2: "two"} {
		q := request(conn, first.handle, "md", wire.RoleConsumer)
		q.In.Token = token
		mustAttach(t, b, q)
	}
	list, err := b.Attachments("md")
	if err != nil {
		t.Fatal(err)
	}
	b.ConnectionClosed(1)
	b.ConnectionClosed(2)
	if err := attachError(t, b, request(3, second.handle, "md", wire.RoleConsumer)); !errors.Is(err, wire.ErrSlotsExhausted) {
		t.Errorf("a slot still mapped by another process: %v", err)
	}
	q := request(3, first.handle, "md", wire.RoleConsumer)
	q.In.Token = "two"
	var slot int // where "two" was
	for i, a := range list {
		if b.rings["md"].held[slotRef{wire.RoleConsumer, i}].record.Token == "two" {
			slot = a.Slot
		}
	}
	a := mustAttach(t, b, q).Out.Attachment
	if a.Slot != slot || a.Generation != 2 {
		t.Errorf("%+v, want slot %d", a, slot)
	}
	if b.Status().Attachments != 2 {
		t.Errorf("%d attachments", b.Status().Attachments)
	}
	first.kill()
	mustAttach(t, b, request(3, second.handle, "md", wire.RoleConsumer))
	mustAttach(t, b, request(3, second.handle, "md", wire.RoleConsumer))
}

// The same token of the same process is the same attachment, untouched.
func TestToken(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	h, other := self(t), startChild(t)
	q := request(1, h, "md", wire.RoleConsumer)
	q.In.Token, q.In.Policy = "t1", wire.PolicyBlock
	c := reader(t, mustAttach(t, b, q), shmring.PolicyBlock)
	p := writer(t, mustAttach(t, b, request(1, h, "md", wire.RoleProducer)))
	if !fillRing(t, p) {
		t.Fatal("the reader does not gate")
	}

	q.Conn, q.In.Policy = 2, wire.PolicySkip // before the first connection is seen to close
	again := mustAttach(t, b, q).Out.Attachment
	if again.ID != "md/c0.1" || again.Policy != wire.PolicyBlock {
		t.Errorf("%+v", again)
	}
	b.ConnectionClosed(1)
	wantIDs(t, b, "md", "md/c0.1 attached", "md/p0.1 detached")
	if err := push(p); !errors.Is(err, shmring.ErrFull) {
		t.Errorf("the gate fell: %v", err)
	}
	if _, err := c.TryReceive(); err != nil {
		t.Error(err)
	}
	if events.count(EventReattached) != 1 {
		t.Errorf("events: %s", events)
	}

	for what, change := range map[string]func(*AttachRequest){
		"process": func(q *AttachRequest) { q.Process = other.handle },
		"uid":     func(q *AttachRequest) { q.UID++ },
		"token":   func(q *AttachRequest) { q.In.Token = "t2" },
	} {
		q := q
		change(&q)
		if a := mustAttach(t, b, q).Out.Attachment; a.ID == "md/c0.1" {
			t.Errorf("another %s got the same attachment", what)
		}
	}
	q.In.Role, q.In.Policy = wire.RoleProducer, ""
	if err := attachError(t, b, q); !errors.Is(err, wire.ErrProducerPresent) {
		t.Errorf("another role: %v", err)
	}
}
