package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"brokerd/client"
)

// held are facts with which every check holds.
func held() facts {
	attached := func(id string, name string, missed uint64, demoted bool) client.Attachment {
		return client.Attachment{ID: id, Name: name, Slot: 1, Generation: 1, PID: 7, State: client.StateAttached,
			Position: 100, Sequence: 10, MissedRecords: missed, Demoted: demoted}
	}
	list := func() []client.Attachment {
		return []client.Attachment{attached("c0", bookName, 0, false), attached("c1", skipName, 2, false),
			attached("c2", slowName, 3, true), attached("p0", "replay", 0, false)}
	}
	return facts{
		recorded: 10, sum: "ab", published: progress{Records: 10},
		book:    report{Delivered: 10, Sequence: 10, SHA256: "ab"},
		skip:    report{Delivered: 8, Missed: 2, Sequence: 10},
		slow:    report{Delivered: 7, Missed: 3, Sequence: 10, DemotedNS: 1},
		demoted: time.Second, killed: time.Second, away: time.Second, back: time.Second,
		bookAtKill: 4, bookAtStart: 5,
		before: list(), after: list(),
		stats: client.Stats{Rings: []client.RingStats{{Sequence: 10, Demotions: 1}}, Attachments: list()},
	}
}

func failed(f facts) (numbers []int) {
	for i, finding := range judge(f) {
		if !finding.ok {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

func TestEveryCheckCanFail(t *testing.T) {
	if got := failed(held()); got != nil {
		t.Fatalf("checks %v fail on facts that hold", got)
	}
	const complete, lossless, skipping, demotion, outage, restored, agrees = 0, 1, 2, 3, 4, 5, 6
	for _, c := range []struct {
		name  string
		spoil func(*facts)
		want  []int
	}{
		{"not all published", func(f *facts) { f.published.Records = 9 }, []int{complete, skipping, demotion}},
		{"book lacks one", func(f *facts) { f.book.Delivered = 9 }, []int{lossless}},
		{"book missed one", func(f *facts) { f.book.Missed = 1 }, []int{lossless, agrees}},
		{"book met a gap", func(f *facts) { f.book.Gaps = 1 }, []int{lossless}},
		{"book got another record", func(f *facts) { f.book.Strange = 1 }, []int{lossless}},
		{"book's output differs", func(f *facts) { f.book.SHA256 = "cd" }, []int{lossless}},
		{"skip counts one less", func(f *facts) { f.skip.Missed = 1 }, []int{skipping, agrees}},
		{"skip got another record", func(f *facts) { f.skip.Strange = 1 }, []int{skipping}},
		{"skip is not at the end", func(f *facts) { f.skip.Sequence, f.skip.Missed = 9, 1 }, []int{skipping, agrees}},
		{"slow not demoted", func(f *facts) { f.demoted, f.slow.DemotedNS = 0, 0 }, []int{demotion, agrees}},
		{"slow missed nothing", func(f *facts) { f.slow.Missed, f.slow.Delivered = 0, 10 }, []int{demotion, agrees}},
		{"slow counts one more", func(f *facts) { f.slow.Missed = 4 }, []int{demotion, agrees}},
		{"daemon not killed", func(f *facts) { f.killed = 0 }, []int{outage}},
		{"nothing went through", func(f *facts) { f.bookAtStart = 4 }, []int{outage}},
		{"an attachment fewer", func(f *facts) { f.after = f.after[1:] }, []int{restored}},
		{"two fewer on both sides", func(f *facts) { f.before, f.after = f.before[2:], f.after[2:] }, []int{restored}},
		{"another slot", func(f *facts) { f.after[1].Slot = 2 }, []int{restored}},
		{"another name", func(f *facts) { f.after[1].Name = "x" }, []int{restored}},
		{"another epoch", func(f *facts) { f.after[3].Epoch++ }, []int{restored}},
		{"not come back", func(f *facts) { f.after[0].State = client.StateDetached }, []int{restored}},
		{"position went back", func(f *facts) { f.after[2].Position = 99 }, []int{restored}},
		{"daemon counts two demotions", func(f *facts) { f.stats.Rings[0].Demotions = 2 }, []int{agrees}},
		{"daemon counts another record", func(f *facts) { f.stats.Rings[0].Sequence = 11 }, []int{agrees}},
		{"daemon counts a gap", func(f *facts) { f.stats.Rings[0].GapRecords = 1 }, []int{agrees}},
		{"daemon lacks the ring", func(f *facts) { f.stats.Rings = nil }, []int{agrees}},
		{"daemon counts another miss", func(f *facts) { f.stats.Attachments[1].MissedRecords = 3 }, []int{agrees}},
		{"daemon shows no demotion", func(f *facts) { f.stats.Attachments[2].Demoted = false }, []int{agrees}},
	} {
		f := held()
		c.spoil(&f)
		if got := failed(f); !slices.Equal(got, c.want) {
			t.Errorf("%s: checks %v fail, want %v", c.name, got, c.want)
		}
	}
}

// Large numbers, as after a long run, must not break lines of 80 columns.
func TestFindingsFit(t *testing.T) {
	f := held()
	f.recorded, f.published = 58325, progress{Records: 58325, Held: 999 * time.Millisecond}
	f.killed, f.away, f.back, f.demoted = 100*time.Second, 99*time.Second, 999*time.Millisecond, 100*time.Second
	f.bookAtStart = 58325
	f.book.Delivered = 58325
	for _, r := range []*report{&f.skip, &f.slow} {
		r.Delivered, r.Missed, r.Sequence = 58325, 58325, 58325
	}
	for i := range f.stats.Attachments {
		f.stats.Attachments[i].MissedRecords = 58325
	}
	for _, finding := range judge(f) {
		for _, line := range finding.text {
			if len("FAILED   "+line) > 80 && !strings.HasPrefix(line, "before: ") {
				t.Errorf("%d columns: %q", len("FAILED   "+line), line)
			}
		}
	}
}
