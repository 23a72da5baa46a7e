package cclient

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// A ring of each shape, and how the Go side of it waits: one that sleeps finds
// out whether the C side wakes it.
var shapes = []struct {
	name                 string
	timestamps, checksum bool
	wait                 client.WaitStrategy
}{
	{"bare", false, false, client.WaitYield},
	{"timestamps", true, false, client.WaitPark},
	{"checksum", false, true, client.WaitPark},
	{"both", true, true, client.WaitYield},
}

const (
	ringBytes = 64 << 10
	// oneRecords are enough to go round a ring of ringBytes more than lapsMin times.
	oneRecords = 30_000
	lapsMin    = 300
)

// shapedRings configures a ring of each shape.
func shapedRings() string {
	text := ""
	for _, shape := range shapes {
		text += fmt.Sprintf(", {name: %s, capacity: 64KiB, timestamps: %v, checksum: %v}", shape.name, shape.timestamps, shape.checksum)
	}
	return "[" + text[2:] + "]"
}

func TestProducerInCReaderInGo(t *testing.T) {
	s := newStage(t, shapedRings())
	c := s.Dial()
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			r, err := c.Consumer(harness.Bounded(t), shape.name, client.ConsumerOptions{
				Policy: client.PolicyBlock, From: client.FromOldest(), WaitStrategy: shape.wait})
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now().UnixNano()
			producer := harness.Launch(t, s.c(shape.name, "produce", "--id", "7", "--count", strconv.Itoa(oneRecords), "--end"))
			l, ctx := newLedger(s.seed), harness.Bounded(t)
			for {
				record, err := r.Receive(ctx)
				if errors.Is(err, client.ErrEndOfStream) {
					break
				}
				if err == nil {
					err = l.add(record.Payload, 0)
				}
				if err != nil {
					t.Fatal(err)
				}
				timely := record.Timestamp >= begin && record.Timestamp <= time.Now().UnixNano()
				if record.Missed+record.Gaps != 0 || record.Tag != 0 || timely != shape.timestamps {
					t.Fatalf("record %d has missed %d, gaps %d, tag %d, timestamp %d; the producer began at %d",
						l.records, record.Missed, record.Gaps, record.Tag, record.Timestamp, begin)
				}
			}
			producer.Expect(0)
			judgeLaps(t, l.records, r.Position())
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// judgeLaps checks that a reader has had all, on the way round the ring many
// times.
func judgeLaps(t *testing.T, records, position uint64) {
	t.Helper()
	t.Logf("%d records, %d times round the ring", records, position/ringBytes)
	if records != oneRecords || position < lapsMin*ringBytes {
		t.Errorf("%d records came on %d bytes; want %d, on more than %d", records, position, oneRecords, lapsMin*ringBytes)
	}
}

// TestProducerInGoReaderInC has two readers: one that loses nothing, and one that
// is stopped until the ring has gone past it and then knows what it missed.
func TestProducerInGoReaderInC(t *testing.T) {
	s := newStage(t, shapedRings())
	c := s.Dial()
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			dump := filepath.Join(t.TempDir(), "dump")
			block := s.attach(s.c(shape.name, "consume", "--count", strconv.Itoa(oneRecords), "--dump", dump))
			skip := s.attach(s.c(shape.name, "consume", "--until-end", "--policy", "skip"))
			skip.Stop()
			producer := harness.Launch(t, s.goProducer(shape.name, 7, oneRecords, "end", string(shape.wait)))
			harness.Eventually(t, "the ring has gone past the stopped reader", func() bool {
				return harness.RingStats(t, c, shape.name).Position > 2*ringBytes
			})
			skip.Resume()
			producer.Expect(0)
			l, whole, partial := newLedger(s.seed), finish(t, block), finish(t, skip)
			if err := l.checkDump(dump); err != nil {
				t.Error(err)
			}
			judgeLaps(t, l.records, whole.Position)
			t.Logf("the other reader had %d records and missed %d", partial.Records, partial.Missed)
			if whole.Records != oneRecords || whole.Missed+whole.Gaps != 0 {
				t.Errorf("the block reader tells %+v", whole)
			}
			if partial.Missed == 0 || partial.MissedBytes == 0 || partial.Records+partial.Missed != oneRecords {
				t.Errorf("the skip reader tells %+v", partial)
			}
		})
	}
}

const (
	// pausedRecords come one at a time, with pauseMicros between them, to a reader
	// that sleeps.
	pausedRecords = 200
	pauseMicros   = "2000"
	// wokenMax is how long after its publication half of them are received, at most.
	// Asleep and not woken, the reader looks every 100 ms.
	wokenMax = 20 * time.Millisecond
)

func TestProducerInCWakesReaderInGo(t *testing.T) {
	s := newStage(t, "[{name: md, capacity: 64KiB}]")
	r, err := s.Dial().Consumer(harness.Bounded(t), "md", client.ConsumerOptions{From: client.FromOldest(), WaitStrategy: client.WaitPark})
	if err != nil {
		t.Fatal(err)
	}
	harness.Launch(t, s.c("md", "produce", "--id", "1", "--count", strconv.Itoa(pausedRecords), "--pause-us", pauseMicros))
	var took []time.Duration
	for ctx := harness.Bounded(t); len(took) < pausedRecords; {
		record, err := r.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(time.Unix(0, record.Timestamp)))
	}
	slices.Sort(took)
	half := took[pausedRecords/2]
	t.Logf("from publication to receipt: median %v, longest %v", half, took[pausedRecords-1])
	if half > wokenMax {
		t.Errorf("half of the records took %v or more, want %v", half, wokenMax)
	}
}

// TestProducerInCDemotesReaderInGo has a reader that does not read for longer than
// the ring's demote_after.
func TestProducerInCDemotesReaderInGo(t *testing.T) {
	s := newStage(t, "[{name: md, capacity: 64KiB, demote_after: 50ms}]")
	c := s.Dial()
	r, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{Policy: client.PolicyDemote, From: client.FromOldest()})
	if err != nil {
		t.Fatal(err)
	}
	harness.Launch(t, s.c("md", "produce", "--id", "1", "--count", "1000")).Expect(0)
	record, err := r.Receive(harness.Bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	stats := harness.RingStats(t, c, "md")
	t.Logf("held for %v, then %d records missed", time.Duration(stats.HeldNS), record.Missed)
	if !r.Demoted() || record.Missed == 0 || stats.Demotions != 1 || time.Duration(stats.HeldNS) < 50*time.Millisecond {
		t.Errorf("demoted %v, missed %d; the ring tells %+v", r.Demoted(), record.Missed, stats)
	}
}
