package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	// manyLives is how many producers are killed, of which manyAtOnce live at a time.
	manyLives  = 60
	manyAtOnce = 3
	// manyLifeMax is how long one lives after it has attached.
	manyLifeMax = 20 * time.Millisecond
)

// numberer is a process that publishes numbered records and notes their numbers.
type numberer struct {
	*harness.Process
	life uint64
	note string
}

// startNumberer starts one, and returns before it has attached.
func (p place) startNumberer(life uint64) numberer {
	p.T.Helper()
	note := filepath.Join(p.Root, fmt.Sprintf("note-%d", life))
	if err := os.WriteFile(note, make([]byte, 16), 0o600); err != nil {
		p.T.Fatal(err)
	}
	return numberer{harness.Launch(p.T, p.Role("numbering", note, strconv.FormatUint(life, 10))), life, note}
}

// noted is the number that it began last, and the one that it published last.
func (n numberer) noted() (began, published uint64) {
	n.T.Helper()
	note, err := os.ReadFile(n.note)
	if err != nil {
		n.T.Fatal(err)
	}
	return binary.LittleEndian.Uint64(note), binary.LittleEndian.Uint64(note[8:])
}

// ledgers are a reader, and what it has received of each life.
type ledgers struct {
	t     *testing.T
	r     *client.Consumer
	total uint64
	of    [manyLives]ledger
}

// receive takes a record, and checks that it is the next one of its life. empty:
// none is there.
func (l *ledgers) receive() (empty bool) {
	l.t.Helper()
	record, err := l.r.TryReceive()
	if errors.Is(err, client.ErrEmpty) {
		return true
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.total++
	life := binary.LittleEndian.Uint64(record.Payload)
	if life >= manyLives {
		l.t.Fatalf("a record of life %d", life)
	}
	if err := l.of[life].count(record.Payload); err != nil {
		l.t.Fatal(err)
	}
	return false
}

// until receives until done.
func (l *ledgers) until(what string, done func() bool) {
	l.t.Helper()
	for begin := time.Now(); !done(); {
		l.receive()
		if time.Since(begin) > harness.Patience {
			l.t.Fatalf("%s: not within %v", what, harness.Patience)
		}
	}
}

// TestKilledProducersAmongMany kills producers at random moments, while others go
// on and the reader never stops: it gets each record that any of them published,
// those of each in order, and every other one is a gap.
func TestKilledProducersAmongMany(t *testing.T) {
	p := newPlace(t, claimRing)
	p.Start()
	c := p.Dial()
	r, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{Policy: client.PolicyBlock})
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l := &ledgers{t: t, r: r}
	var all, living []numberer
	for life := range uint64(manyLives) {
		l.of[life].life = life
		n := p.startNumberer(life)
		all, living = append(all, n), append(living, n)
		if len(living) < manyAtOnce {
			continue
		}
		stop := time.Now().Add(time.Duration(random.Int64N(int64(manyLifeMax))))
		victim := random.IntN(len(living))
		l.until("its first record", func() bool { return time.Now().After(stop) && l.of[living[victim].life].last > 0 })
		living[victim].Kill()
		living = slices.Delete(living, victim, victim+1)
	}
	for _, n := range living {
		n.Kill()
	}
	l.until("their slots are free", func() bool { return len(harness.Attachments(t, c, "md")) == 1 })
	l.until("nothing is left", l.receive)

	for _, n := range all {
		if began, published := n.noted(); l.of[n.life].last < published || l.of[n.life].last > began {
			t.Errorf("of life %d came %d records; %d were published, %d begun", n.life, l.of[n.life].last, published, began)
		}
	}
	s, ring := r.Stats(), harness.RingStats(t, c, "md")
	if s.Delivered != l.total || s.MissedRecords+s.ChecksumErrors != 0 || s.Delivered+s.GapRecords != ring.Sequence || s.GapRecords > manyLives {
		t.Errorf("the reader tells %+v, the ring %+v; %d records came", s, ring, l.total)
	}
	fmt.Printf("counts: many: %d producers killed, %d at a time: %d records in order, %d gaps: %v; seed %d\n",
		manyLives, manyAtOnce, l.total, s.GapRecords, !t.Failed(), seed)
}
