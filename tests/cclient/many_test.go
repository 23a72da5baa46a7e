package cclient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync/atomic"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	manyRing = "[{name: md, capacity: 64KiB, producers: many, checksum: true}]"
	// manyRecords are those of each of three producers.
	manyRecords = 50_000
	// switchesMin is how often records of one producer follow those of another,
	// for a test that claims to have them at the same time.
	switchesMin = 100
)

// watcher is a Go reader of a ring in a goroutine of its own.
type watcher struct {
	*ledger
	position atomic.Uint64 // of the record last read
	stats    client.ConsumerStats
	ended    chan error // gives one error; then stats and ledger may be read
}

// watch attaches a reader, which reads to the end of the stream. The goroutine
// ends with the test at the latest.
func (s stage) watch(ring string, policy client.Policy) *watcher {
	s.t.Helper()
	r, err := s.Dial().Consumer(harness.Bounded(s.t), ring, client.ConsumerOptions{
		Policy: policy, From: client.FromOldest(), WaitStrategy: client.WaitYield})
	if err != nil {
		s.t.Fatal(err)
	}
	w := &watcher{ledger: newLedger(s.seed), ended: make(chan error, 1)}
	ctx, cancel := context.WithTimeout(context.Background(), 3*harness.Patience)
	go func() {
		w.ended <- w.read(ctx, r)
		close(w.ended)
	}()
	s.t.Cleanup(func() {
		cancel()
		for range w.ended {
		}
	})
	return w
}

func (w *watcher) read(ctx context.Context, r *client.Consumer) error {
	for {
		record, err := r.Receive(ctx)
		if errors.Is(err, client.ErrEndOfStream) {
			w.stats = r.Stats()
			return nil
		}
		if err == nil {
			err = w.add(record.Payload, r.Stats().MissedRecords)
		}
		if err != nil {
			return err
		}
		w.position.Store(record.Position)
	}
}

// end ends the stream, once all its producers are gone, and waits for the reader.
func (s stage) end(ring string, w *watcher) {
	s.t.Helper()
	harness.Launch(s.t, s.c(ring, "produce", "--id", "0", "--count", "0", "--end")).Expect(0)
	if err := <-w.ended; err != nil {
		s.t.Fatalf("the reader in Go: %v", err)
	}
}

// agree checks that two readers in C have had what the one in Go had: one of them
// everything, the other what it did not miss.
func (s stage) agree(ring string, w *watcher, block, skip *harness.Process) {
	s.t.Helper()
	whole := finish(s.t, block)
	s.judgeSkip(ring, w, skip)
	if gaps := w.stats.GapRecords; !maps.Equal(whole.Counts, w.counts) || whole.Missed != 0 || whole.Gaps != gaps {
		s.t.Errorf("the block reader in C tells %+v; the one in Go had %v and %d in gaps", whole, w.counts, gaps)
	}
}

// judgeSkip checks that the reader in Go and a skip reader in C have accounted for
// every record that the ring counts.
func (s stage) judgeSkip(ring string, w *watcher, skip *harness.Process) {
	s.t.Helper()
	partial, stats := finish(s.t, skip), harness.RingStats(s.t, s.Dial(), ring)
	fmt.Printf("counts: C client: %d records of %d producers, %d switches between them, %d in gaps, %d missed; %d times round the ring; the skip reader in C had %d and missed %d\n",
		w.records, len(w.counts), w.switches, w.stats.GapRecords, w.stats.MissedRecords, stats.Position/ringBytes, partial.Records, partial.Missed)
	if w.records+w.stats.GapRecords+w.stats.MissedRecords != stats.Sequence || w.records != w.stats.Delivered {
		s.t.Errorf("the reader in Go had %d records and tells %+v, the ring counts %d", w.records, w.stats, stats.Sequence)
	}
	if partial.Records+partial.Gaps+partial.Missed != stats.Sequence || partial.Sequence != stats.Sequence {
		s.t.Errorf("the skip reader in C tells %+v, the ring counts %d records", partial, stats.Sequence)
	}
}

// judgeSwitches checks that producers published at the same time.
func (w *watcher) judgeSwitches(t testing.TB) {
	t.Helper()
	if w.switches < switchesMin {
		t.Errorf("records of different producers followed each other %d times only, want %d", w.switches, switchesMin)
	}
}

// TestManyProducers has two producers in C and one in Go in a ring at a time, and
// a reader that comes late and begins behind the newest record.
func TestManyProducers(t *testing.T) {
	s := newStage(t, manyRing)
	w := s.watch("md", client.PolicyBlock)
	block := s.attach(s.c("md", "consume", "--until-end"))
	skip := s.attach(s.c("md", "consume", "--until-end", "--policy", "skip"))
	count := strconv.Itoa(manyRecords)
	producers := []*harness.Process{
		harness.Launch(t, s.goProducer("md", 3, manyRecords)),
		harness.Launch(t, s.c("md", "produce", "--id", "1", "--count", count)),
		harness.Launch(t, s.c("md", "produce", "--id", "2", "--count", count)),
	}
	harness.Eventually(t, "the ring has been gone round", func() bool { return w.position.Load() > ringBytes })
	late := s.attach(s.c("md", "consume", "--until-end", "--from", "latest"))
	for _, p := range producers {
		p.Expect(0)
	}
	s.end("md", w)
	s.agree("md", w, block, skip)
	tells := finish(t, late)
	t.Logf("the late reader had %d", tells.Records)
	if tells.Sequence != w.records || tells.Records >= w.records || tells.Missed+tells.Gaps != 0 {
		t.Errorf("the late reader tells %+v, the one in Go had %d records", tells, w.records)
	}
	w.judgeSwitches(t)
	if want := map[uint64]uint64{1: manyRecords, 2: manyRecords, 3: manyRecords}; !maps.Equal(w.counts, want) || w.stats.GapRecords != 0 {
		t.Errorf("the reader in Go had %v and %d in gaps, want %v", w.counts, w.stats.GapRecords, want)
	}
}
