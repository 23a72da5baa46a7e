package e2e

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	// freedMax is what a producer waits for after the death of the reader that
	// held it, and a successor after that of a producer.
	freedMax = 100 * time.Millisecond
	// freedRounds is how often that is measured. Three in four are held to
	// freedMax, since a busy machine may run nobody for longer than that; the
	// longest to freedLimit.
	freedRounds = 12
	freedLimit  = time.Second
)

// judgeFreed logs and judges the times of all rounds.
func judgeFreed(t *testing.T, what string, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	most, longest := took[len(took)*3/4], took[len(took)-1]
	t.Logf("%s: median %v, longest %v, all %v", what, took[len(took)/2], longest, took)
	if most > freedMax || longest > freedLimit {
		t.Errorf("%s: a quarter took over %v (want %v), the longest %v (want %v)", what, most, freedMax, longest, freedLimit)
	}
}

// stoppedRing is small, and its deadline short: a block reader has none.
const stoppedRing = "[{name: md, capacity: 64KiB, demote_after: 20ms}]"

// numberedLines are lines of 100 bytes, newline included.
func numberedLines(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "%099d\n", i)
	}
	return text.String()
}

// TestStoppedReaderHoldsTheProducer stops a block reader for far longer than a
// demote reader would be waited for, and then lets it go on.
func TestStoppedReaderHoldsTheProducer(t *testing.T) {
	p := newPlace(t, stoppedRing)
	p.Start()
	c := p.Dial()
	lines := numberedLines(5000)
	reader := p.Ctl("attach", "md", "--as", "consumer", "--policy", "block", "--from", "oldest", "--until-end", "-o", "json")
	feeder := p.Command("attach", "md", "--as", "producer", "--end")
	input := pipeTo(t, feeder)
	producer := harness.Launch(t, feeder)
	write := func(text string) {
		go func() { // until the reader goes on, the pipe fills
			_, _ = input.Write([]byte(text)) // what is missing is missed below
			_ = input.Close()
		}()
	}
	if _, err := input.Write([]byte(lines[:100])); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the first line", func() bool { return reader.Stdout.String() == lines[:100] })
	reader.Stop()
	write(lines[100:])
	var held client.RingStats
	harness.Eventually(t, "it holds the producer for 500 ms", func() bool {
		held = harness.RingStats(t, c, "md")
		return held.HeldNS > uint64(500*time.Millisecond)
	})
	if reader.Stdout.String() != lines[:100] || !producer.Running() {
		t.Fatalf("the reader is not stopped, or the producer has ended: %s", producer.Stderr)
	}
	if later := harness.RingStats(t, c, "md"); later.Sequence != held.Sequence {
		t.Errorf("the producer moved from record %d to %d", held.Sequence, later.Sequence)
	}
	if held.Demotions != 0 || held.Sequence < 100 || held.OccupancyBytes > held.Capacity {
		t.Errorf("while it is held: %+v", held)
	}
	t.Logf("held at record %d, %d of %d bytes full", held.Sequence, held.OccupancyBytes, held.Capacity)
	reader.Resume()
	producer.Expect(0)
	reader.Expect(0)
	if reader.Stdout.String() != lines {
		t.Errorf("%d bytes came out, %d went in, or they differ", len(reader.Stdout.String()), len(lines))
	}
	if s := summaryOf(reader); s.Records != 5000 || s.Missed != 0 {
		t.Errorf("summary of the reader: %+v", s)
	}
}

// heldProducer is a producer of this process, whose readers are stopped.
type heldProducer struct {
	t        *testing.T
	place    place
	client   *client.Client
	producer *client.Producer
}

func newHeldProducer(t *testing.T, p place) heldProducer {
	t.Helper()
	c := p.Dial()
	producer, err := c.Producer(harness.Bounded(t), "md", client.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return heldProducer{t, p, c, producer}
}

// hold starts a block reader, stops it, and fills the ring.
func (h heldProducer) hold() *harness.Process {
	h.t.Helper()
	reader := harness.Launch(h.t, h.place.Role("guest", "md"))
	reader.WaitSaid(sayAttached)
	reader.Stop()
	err := error(nil)
	for err == nil {
		err = h.producer.TrySend(heldRecord())
	}
	if err != client.ErrFull {
		h.t.Fatal(err)
	}
	return reader
}

func heldRecord() []byte { return make([]byte, 1000) }

// freedBy has the producer wait, kills the reader, and returns how long after
// that the producer's Send returned.
func (h heldProducer) freedBy(reader *harness.Process) time.Duration {
	t := h.t
	t.Helper()
	var err error
	sent := make(chan time.Time, 1)
	before := harness.RingStats(t, h.client, "md").HeldNS
	go func() {
		err = h.producer.Send(harness.Bounded(t), heldRecord())
		sent <- time.Now()
	}()
	harness.Eventually(t, "the producer waits", func() bool {
		if len(sent) > 0 {
			t.Fatalf("a stopped reader does not hold the producer: %v", err)
		}
		return harness.RingStats(t, h.client, "md").HeldNS > before+uint64(10*time.Millisecond)
	})
	killed := time.Now()
	reader.Signal(syscall.SIGKILL)
	took := (<-sent).Sub(killed).Round(10 * time.Microsecond)
	if err != nil {
		t.Fatal(err)
	}
	return took
}

// TestKilledReaderFreesTheProducer kills stopped block readers and takes the
// time until the producer's Send returns.
func TestKilledReaderFreesTheProducer(t *testing.T) {
	p := newPlace(t, stoppedRing)
	p.Start()
	h := newHeldProducer(t, p)
	var took []time.Duration
	for range freedRounds {
		took = append(took, h.freedBy(h.hold()))
	}
	judgeFreed(t, "from the reader's kill to the producer's next record", took)
	harness.Eventually(t, "its slot is free", func() bool { return len(harness.Attachments(t, h.client, "md")) == 1 })
}

// TestStoppedReaderOutlivesTheDaemon restarts the daemon while a reader is
// stopped, which can then not come back: it is kept, and holds the producer,
// until it is killed. No connection tells the new daemon of its death.
func TestStoppedReaderOutlivesTheDaemon(t *testing.T) {
	p := newPlace(t, stoppedRing)
	d := p.Start()
	h := newHeldProducer(t, p)
	var took []time.Duration
	for range freedRounds {
		reader := h.hold()
		d.Kill()
		d = p.Start()
		harness.WaitAttached(t, h.client, "md", 1) // the producer is back
		list := harness.Attachments(t, h.client, "md")
		if len(list) != 2 || list[0].PID != reader.PID() || list[0].State != client.StateDetached {
			t.Fatalf("the stopped reader %d is not kept: %+v", reader.PID(), list)
		}
		took = append(took, h.freedBy(reader))
	}
	judgeFreed(t, "from the kept reader's kill to the producer's next record", took)
	harness.Eventually(t, "its slot is free", func() bool { return len(harness.Attachments(t, h.client, "md")) == 1 })
}

// TestReaderDiesWithoutADaemon kills a stopped reader while no daemon runs: it
// holds the producer until there is one, and no longer.
func TestReaderDiesWithoutADaemon(t *testing.T) {
	p := newPlace(t, stoppedRing)
	d := p.Start()
	h := newHeldProducer(t, p)
	reader := h.hold()
	d.Kill()
	reader.Kill()
	if err := h.producer.TrySend(heldRecord()); err != client.ErrFull {
		t.Fatalf("who freed the producer? %v", err)
	}
	p.Start()
	if err := h.producer.TrySend(heldRecord()); err != nil {
		t.Errorf("a daemon is ready, and the dead reader still holds the producer: %v", err)
	}
	list := harness.WaitAttached(t, h.client, "md", 1)
	if len(list) != 1 || list[0].Role != client.RoleProducer {
		t.Errorf("attached: %+v, want the producer alone", list)
	}
}

// TestKilledStoppedReaderOfBrokerctl is the same with brokerctl on both sides:
// the whole input arrives at nobody, and all of it is published.
func TestKilledStoppedReaderOfBrokerctl(t *testing.T) {
	p := newPlace(t, stoppedRing)
	p.Start()
	c := p.Dial()
	reader := p.Ctl("attach", "md", "--as", "consumer", "--policy", "block", "--from", "oldest")
	p.Publish("md", "first\n")
	harness.Eventually(t, "the first line", func() bool { return reader.Stdout.String() == "first\n" })
	reader.Stop()
	producer := p.Feed(numberedLines(5000), "attach", "md", "--as", "producer", "-o", "json")
	harness.Eventually(t, "the producer is held", func() bool { return harness.RingStats(t, c, "md").HeldNS > uint64(50*time.Millisecond) })
	reader.Kill()
	producer.Expect(0)
	if s := summaryOf(producer); s.Records != 5000 || s.Dropped != 0 || s.Unpublished != 0 {
		t.Errorf("summary of the producer: %+v", s)
	}
	if s := harness.RingStats(t, c, "md"); s.Sequence != 5001 {
		t.Errorf("%d records in the ring, want 5001", s.Sequence)
	}
}
