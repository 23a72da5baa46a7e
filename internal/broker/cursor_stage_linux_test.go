package broker

import (
	"errors"
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
