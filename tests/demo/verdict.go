package main

import (
	"fmt"
	"time"

	"brokerd/client"
)

// facts are what was seen, for judge.
type facts struct {
	recorded  uint64 // records of the feed
	sum       string // SHA-256 of the feed, hex
	published progress

	book, skip, slow report
	demoted          time.Duration // since the start; 0 when slow was not

	killed, away, back      time.Duration // since the start; without a daemon; from its start to the same attachments
	bookAtKill, bookAtStart uint64        // records that book had
	before, after           []client.Attachment
	stats                   client.Stats // at the end
}

// finding is the outcome of one check.
type finding struct {
	ok   bool
	text []string
}

// judge checks everything that the demo promises.
func judge(f facts) []finding {
	return []finding{f.complete(), f.lossless(), f.skipping(), f.demotion(), f.outage(), f.restored(), f.daemonAgrees()}
}

func (f facts) complete() finding {
	return finding{
		ok: f.published.Records == f.recorded,
		text: []string{fmt.Sprintf("%d of %d records were published; readers held the feed for %s",
			f.published.Records, f.recorded, brief(f.published.Held))},
	}
}

func (f facts) lossless() finding {
	b := f.book
	return finding{
		ok: b.Delivered == f.recorded && b.Missed == 0 && b.Gaps == 0 && b.Strange == 0 && b.SHA256 == f.sum,
		text: []string{
			fmt.Sprintf("book got %d of %d, missed %d; sha256 of its output, of the feed:", b.Delivered, f.recorded, b.Missed),
			b.SHA256, f.sum,
		},
	}
}

func (f facts) skipping() finding {
	s := f.skip
	return finding{
		ok:   f.adds(s),
		text: []string{fmt.Sprintf("skip got %d + missed %d = sequence %d", s.Delivered, s.Missed, s.Sequence)},
	}
}

func (f facts) demotion() finding {
	s := f.slow
	was := "was not demoted"
	if f.demoted > 0 {
		was = "was demoted at " + clock(f.demoted)
	}
	return finding{
		ok:   f.demoted > 0 && s.Missed > 0 && f.adds(s),
		text: []string{fmt.Sprintf("slow %s; got %d + missed %d = sequence %d", was, s.Delivered, s.Missed, s.Sequence)},
	}
}

// adds says whether a reader knows exactly what it missed.
func (f facts) adds(r report) bool {
	return r.Delivered+r.Missed == r.Sequence && r.Sequence == f.published.Records && r.Gaps == 0 && r.Strange == 0
}

func (f facts) outage() finding {
	through := f.bookAtStart - f.bookAtKill
	return finding{
		ok: f.killed > 0 && f.bookAtStart > f.bookAtKill,
		text: []string{fmt.Sprintf("brokerd was killed at %s, away %s; book got %d in between",
			clock(f.killed), brief(f.away), through)},
	}
}

func (f facts) restored() finding {
	if len(f.before) == 1+len(cast()) && sameAttachments(f.before, f.after) {
		return finding{ok: true, text: []string{
			fmt.Sprintf("all %d attachments were the same %s after the next brokerd started:", len(f.after), brief(f.back)),
			"id, epoch, slot, name, process; positions went on",
		}}
	}
	text := []string{fmt.Sprintf("attachments are not the same %s after the next brokerd started", brief(f.back))}
	for _, a := range f.before {
		text = append(text, fmt.Sprintf("before: %s %s %s, pid %d, %s, position %d", a.ID, a.Role, a.Name, a.PID, a.State, a.Position))
	}
	for _, a := range f.after {
		text = append(text, fmt.Sprintf("after:  %s %s %s, pid %d, %s, position %d", a.ID, a.Role, a.Name, a.PID, a.State, a.Position))
	}
	return finding{text: text}
}

// daemonAgrees compares what the second daemon counts with what readers saw.
func (f facts) daemonAgrees() finding {
	ok := len(f.stats.Rings) == 1
	var demotions uint64
	if ok {
		ring := f.stats.Rings[0]
		demotions = ring.Demotions
		ok = ring.Sequence == f.recorded && ring.GapRecords == 0 && ring.DroppedRecords == 0 && ring.Demotions == 1
	}
	text := fmt.Sprintf("brokerd counts %d demotion; missed", demotions)
	for _, seen := range []struct {
		name string
		report
	}{{bookName, f.book}, {skipName, f.skip}, {slowName, f.slow}} {
		counted := findAttachment(f.stats.Attachments, seen.name)
		text += fmt.Sprintf(" %s %d", seen.name, counted.MissedRecords)
		ok = ok && counted.MissedRecords == seen.Missed && counted.Sequence == seen.Sequence && counted.Demoted == (seen.DemotedNS != 0)
	}
	return finding{ok: ok, text: []string{text}}
}

// leftBehind is what came of closing everything.
func leftBehind(closed error, p place, keep bool) finding {
	switch {
	case closed != nil:
		return finding{text: []string{"something went wrong while cleaning up"}}
	case keep:
		return finding{ok: true, text: []string{"no process is left behind; kept are", p.run, p.shm}}
	default:
		return finding{ok: true, text: []string{"nothing is left behind: no process, no folder, no ring"}}
	}
}
