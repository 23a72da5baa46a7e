package torture

import (
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// published is what the book of a producer that has ended says.
type published struct {
	life
	ring             *ring
	begun, committed uint64
	givenUp          uint64
	givingUp, killed bool
}

// settle reads the book of a victim that has ended. It is kept if something is wrong.
func (t *torture) settle(l *lane, v *victim) {
	defer v.file.Close()
	t.tally.do(func() {
		t.tally.lives++
		if !v.killed {
			t.tally.finished++
		}
	})
	said := strings.TrimSpace(v.stderr.String())
	b, err := readBook(v.job.Book)
	switch {
	case err != nil:
		t.tally.violation("book of %s: %v", t.describe(v), err)
		return
	case !v.killed && v.cmd.ProcessState.ExitCode() != 0 || said != "":
		t.tally.violation("%s ended with %v: %s", t.describe(v), v.cmd.ProcessState, said)
		return
	case closed(t.tally.alarm):
		return // the truth is no longer kept
	}
	if l.role == roleProducer {
		t.tally.do(func() {
			t.published = append(t.published, published{v.job.life(), l.ring, b.get(wordBegun), b.get(wordCommitted), b.get(wordGivenUp), b.get(wordGivingUp) != 0, v.killed})
		})
	} else if wrong := t.settleReader(l, v, b); len(wrong) > 0 {
		t.tally.violation("%s, policy %s from %s at %s: %s", t.describe(v), v.job.Policy, v.job.From, l.at, strings.Join(wrong, "; "))
		return
	}
	_ = os.Remove(v.job.Book)
}

func readBook(path string) (book, error) {
	text, err := os.ReadFile(path)
	if err == nil && len(text) != bookBytes {
		err = fmt.Errorf("%s has %d bytes", path, len(text))
	}
	return book{text}, err
}

// settleReader judges the book of a reader.
func (t *torture) settleReader(l *lane, v *victim, b book) []string {
	if len(b.runs()) > 0 && !t.truthReaches(l.ring, b.behind()) {
		return []string{fmt.Sprintf("it has read up to record %d, the test itself has come to %d", b.behind(), l.ring.truth.next())}
	}
	want := reader{lossless: l.lossless(), mirror: l.at == "b", epoch: l.ring.epoch, finished: b.get(wordTarget) > 0 && len(b.runs()) < runsMax}
	if l.from == "resume" && b.get(wordState) != stateStarting {
		if l.cursor != nil {
			want.before = l.cursor
			t.tally.do(func() { t.tally.resumed++ })
		}
		l.cursor = &cursor{next: b.behind(), repeats: 1}
		if l.at == "far" {
			l.cursor.repeats = math.MaxUint64 // what was on its way
		}
	}
	judged, wrong := judgeReader(b, l.ring.truth, want)
	t.tally.do(func() { t.tally.judged += judged })
	return wrong
}

// truthReaches waits until the test has read as far as a victim has.
func (t *torture) truthReaches(r *ring, sequence uint64) bool {
	for deadline := time.Now().Add(harness.Patience); r.truth.next() < sequence; time.Sleep(time.Millisecond) {
		if closed(t.tally.alarm) || time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// situation is what both daemons say, for a message.
func (t *torture) situation() string {
	var text strings.Builder
	for _, d := range []*daemon{t.a, t.b} {
		ctx, cancel := asking()
		stats, err := d.calls.Stats(ctx, "")
		cancel()
		fmt.Fprintf(&text, "%s: error %v\n", d.name, err)
		for _, r := range stats.Rings {
			fmt.Fprintf(&text, "  %+v\n", r)
		}
		for _, a := range stats.Attachments {
			fmt.Fprintf(&text, "  %+v\n", a)
		}
	}
	for _, r := range t.rings {
		count, moved, err := r.truth.progress()
		fmt.Fprintf(&text, "%s: %d records, the last one %v ago, error %v\n", r.name, count, time.Since(moved), err)
	}
	return text.String()
}

// judgeRings compares what the rings say at the end with what was read, and the books of all producers.
func (t *torture) judgeRings(stats map[string]client.RingStats) {
	givenUp, twice, killed := map[*ring]uint64{}, map[*ring]uint64{}, map[*ring]uint64{}
	for _, p := range t.published {
		for _, wrong := range judgeProducer(p.life, p.begun, p.committed, p.ring.truth) {
			t.tally.violation("ring %s: %s", p.ring.name, wrong)
		}
		givenUp[p.ring] += p.givenUp
		if p.killed {
			killed[p.ring]++
		}
		if p.givingUp {
			twice[p.ring]++
		}
	}
	for _, r := range t.rings {
		s := stats[r.name]
		r.truth.mu.Lock()
		count, gaps, missed := r.truth.count, r.truth.gaps, r.truth.witness.missed
		r.truth.mu.Unlock()
		tail := s.Sequence - (count + gaps + missed) // gaps behind the last record
		if s.Sequence < count+gaps+missed || tail > killed[r]+givenUp[r]+uint64(t.tally.kills[kindDaemon]) {
			t.tally.violation("ring %s: it is at record %d; %d came, %d in gaps and %d missed", r.name, s.Sequence, count, gaps, missed)
		}
		gaps += tail
		slack := twice[r] + uint64(t.tally.kills[kindDaemon])
		if missed == 0 && (s.GapRecords < gaps || s.GapRecords > gaps+slack) {
			t.tally.violation("ring %s: it tells of %d records in gaps, %d came, and %d may count twice", r.name, s.GapRecords, gaps, slack)
		}
	}
}
