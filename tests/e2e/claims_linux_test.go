package e2e

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	claimRing = "[{name: md, capacity: 64KiB, producers: many, checksum: true}]"
	// sayClaimed is what the role claiming prints once it holds a claim.
	sayClaimed = "claimed"
	// claimText is what it then writes.
	claimText = "from the claim"
)

// claiming claims room for a record of ring md, waits for a line of its input,
// and publishes the record, and one more if it is told to. Arguments: socket,
// "once" or "twice".
func claiming(args []string) error {
	ctx, cancel, c, err := roleDial(args[0])
	defer cancel()
	if err != nil {
		return err
	}
	p, err := c.Producer(ctx, "md", client.ProducerOptions{Name: "claiming"})
	if err != nil {
		return err
	}
	buf, err := p.Reserve(ctx, len(claimText))
	if err != nil {
		return err
	}
	fmt.Println(sayClaimed)
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	copy(buf, claimText)
	err = p.Commit()
	if err == nil && args[1] == "twice" {
		err = p.Send(ctx, []byte(claimText))
	}
	return errors.Join(err, p.Close(), c.Close())
}

// claimer is a process with an open claim.
type claimer struct {
	*harness.Process
	input io.WriteCloser
}

func (p place) claimer(records string) claimer {
	p.T.Helper()
	cmd := p.Role("claiming", records)
	input := pipeTo(p.T, cmd)
	c := claimer{harness.Launch(p.T, cmd), input}
	c.WaitSaid(sayClaimed)
	return c
}

// commit lets it publish its record.
func (c claimer) commit() {
	c.T.Helper()
	if _, err := io.WriteString(c.input, "\n"); err != nil {
		c.T.Fatal(err)
	}
}

// manyParty is a producer and a reader of this process, beside the claimers.
type manyParty struct {
	t        *testing.T
	ctx      context.Context // of all its calls
	p        place
	c        *client.Client
	producer *client.Producer
	reader   *client.Consumer
	sent     uint64
}

func newManyParty(t *testing.T, p place, policy client.Policy) *manyParty {
	t.Helper()
	m := &manyParty{t: t, p: p, c: p.Dial()}
	var cancel context.CancelFunc
	m.ctx, cancel = context.WithTimeout(context.Background(), 2*harness.Patience)
	t.Cleanup(cancel)
	var err error
	if m.reader, err = m.c.Consumer(m.ctx, "md", client.ConsumerOptions{Policy: policy, WaitStrategy: client.WaitPark}); err != nil {
		t.Fatal(err)
	}
	if m.producer, err = m.c.Producer(m.ctx, "md", client.ProducerOptions{}); err != nil {
		t.Fatal(err)
	}
	return m
}

// send publishes the next number, if there is room.
func (m *manyParty) send() error {
	err := m.producer.TrySend(binary.LittleEndian.AppendUint64(nil, m.sent))
	if err == nil {
		m.sent++
	}
	return err
}

func (m *manyParty) mustSend() {
	m.t.Helper()
	if err := m.send(); err != nil {
		m.t.Fatal(err)
	}
}

// wantNothing checks that the reader has nothing to read for a while.
func (m *manyParty) wantNothing(while time.Duration) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.ctx, while)
	defer cancel()
	if record, err := m.reader.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		m.t.Fatalf("behind an open claim came %+v, %v", record, err)
	}
}

// wantNumber receives that number, with so many records lost before it.
func (m *manyParty) wantNumber(number, gaps uint64) {
	m.t.Helper()
	record, err := m.reader.Receive(m.ctx)
	m.wantRecord(record, err, number, gaps)
}

func (m *manyParty) wantRecord(record client.Record, err error, number, gaps uint64) {
	m.t.Helper()
	if err != nil || len(record.Payload) != 8 || binary.LittleEndian.Uint64(record.Payload) != number || record.Gaps != gaps || record.Missed != 0 {
		m.t.Fatalf("%+v, %v; want number %d after %d gaps", record, err, number, gaps)
	}
}

// waitAsleep waits until the reader sleeps: the word of its page that says so is
// odd (docs/MEMORY_LAYOUT.md).
func (m *manyParty) waitAsleep() {
	m.t.Helper()
	harness.Eventually(m.t, "the reader sleeps", func() bool {
		page, err := os.ReadFile(filepath.Join(m.p.Dir, "md", "c00"))
		if err != nil {
			m.t.Fatal(err)
		}
		return binary.LittleEndian.Uint32(page[0x80:])&1 == 1
	})
}

// claimDeaths is how many producers are killed inside a claim.
const claimDeaths = 50

// TestKilledInsideAClaim takes the time from a producer's death to the next
// record of another one, at a reader that sleeps.
func TestKilledInsideAClaim(t *testing.T) {
	p := newPlace(t, claimRing)
	p.Start()
	m := newManyParty(t, p, client.PolicyBlock)
	var took []time.Duration
	for range claimDeaths {
		victim := p.claimer("once")
		m.mustSend()
		if _, err := m.reader.TryReceive(); !errors.Is(err, client.ErrEmpty) {
			t.Fatalf("behind an open claim: %v", err)
		}
		var record client.Record
		var err error
		received := make(chan time.Time, 1)
		go func() {
			record, err = m.reader.Receive(m.ctx)
			received <- time.Now()
		}()
		m.waitAsleep()
		killed := time.Now()
		victim.Signal(sigkill)
		took = append(took, (<-received).Sub(killed).Round(10*time.Microsecond))
		m.wantRecord(record, err, m.sent-1, 1)
	}
	judgeFreed(t, "from a producer's kill to the record behind its claim", took)
	fmt.Printf("counts: claims: %d producers killed inside one; the next record came after %v in the median, %v at most\n",
		claimDeaths, took[claimDeaths/2], took[claimDeaths-1])
	harness.Eventually(t, "their slots are free", func() bool { return len(harness.Attachments(t, m.c, "md")) == 2 })
	var status client.Status
	p.Object(&status, "status")
	ring, s := harness.RingStats(t, m.c, "md"), m.reader.Stats()
	if ring.Sequence != 2*claimDeaths || ring.GapRecords != claimDeaths || s.GapRecords != claimDeaths || s.Delivered != claimDeaths ||
		s.MissedRecords+s.ChecksumErrors != 0 || status.Repairs != claimDeaths {
		t.Errorf("the ring tells %+v, the reader %+v, the daemon %d repairs; want %d gaps", ring, s, status.Repairs, claimDeaths)
	}
}

// TestKilledInsideAClaimWithoutADaemon: readers wait until there is one.
func TestKilledInsideAClaimWithoutADaemon(t *testing.T) {
	p := newPlace(t, claimRing)
	d := p.Start()
	m := newManyParty(t, p, client.PolicyBlock)
	for range 5 {
		victim := p.claimer("once")
		m.mustSend()
		d.Kill()
		victim.Kill()
		m.wantNothing(150 * time.Millisecond)
		m.mustSend() // producers need no daemon
		d = p.Start()
		ready := time.Now()
		m.wantNumber(m.sent-2, 1)
		t.Logf("the record came %v after the daemon was ready", since(ready))
		m.wantNumber(m.sent-1, 0)
	}
	if ring := harness.RingStats(t, m.c, "md"); ring.GapRecords != 5 || ring.Sequence != 15 {
		t.Errorf("the ring tells %+v, want 5 gaps of 15 records", ring)
	}
}

// wantClaim receives the record of a claimer, with nothing lost before it.
func (m *manyParty) wantClaim() {
	m.t.Helper()
	record, err := m.reader.Receive(m.ctx)
	if err != nil || string(record.Payload) != claimText || record.Missed+record.Gaps != 0 {
		m.t.Fatalf("%+v, %q, %v; want the record of the claim", record, record.Payload, err)
	}
}

// TestManyProducersMost lends every slot for producers, and not one more.
func TestManyProducersMost(t *testing.T) {
	const most = 63
	p := newPlace(t, claimRing)
	p.Start()
	c := p.Dial()
	var producers []*client.Producer
	for n := range most {
		producer, err := c.Producer(harness.Bounded(t), "md", client.ProducerOptions{Tag: uint16(n)})
		if err != nil {
			t.Fatalf("producer %d: %v", n, err)
		}
		producers = append(producers, producer)
	}
	late := p.Feed("x\n", "attach", "md", "--as", "producer")
	late.Expect(4)
	wantWords(t, "the 64th", late.Stderr.String(), "brokerctl: ", "md", "producer", "63")
	for _, producer := range producers {
		if err := producer.Send(harness.Bounded(t), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := producers[30].Close(); err != nil {
		t.Fatal(err)
	}
	p.Publish("md", "x\n", "--end")
	if got := p.Output("attach", "md", "--as", "consumer", "--from", "oldest", "--until-end", "--tag", "0,62"); got != "x\nx\nx\n" {
		t.Errorf("of the first, the last and the late producer came %q", got)
	}
}
