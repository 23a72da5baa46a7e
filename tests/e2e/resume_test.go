package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"brokerd/tests/internal/harness"
)

// resumeRing is far smaller than what moves through it, so a cursor that is kept
// holds the producer.
const (
	resumeRing = "[{name: md, capacity: 64KiB, resume_for: 30s}]"
	resumeFor  = 30 * time.Second
)

// TestResume has a reader end after 1000 records: the next one goes on with the
// 1001st, and meanwhile the producer is held.
func TestResume(t *testing.T) {
	p := newPlace(t, resumeRing)
	p.Start()
	s := newCutStream(p, 5000)
	first := s.read("--count", "1000")
	s.feed()
	first.Expect(0)
	ended := time.Now()
	wantWords(t, "the first reader", first.Stderr.String(), "no cursor of risk to resume; it begins at the oldest record, position 0")
	if sum := fullSummaryOf(first); sum.Records != 1000 || sum.Resumed || sum.Start != 0 {
		t.Errorf("the first reader tells %+v", sum)
	}
	s.count(first, false)
	a := s.parked()
	if left := time.Unix(0, a.ResumeUntilNS).Sub(ended); left > resumeFor || left < resumeFor-harness.Patience || a.ID != "md/c0.1" || a.Sequence != 1000 {
		t.Errorf("the cursor, kept for %v: %+v; want md/c0.1 at record 1000, for %v", left, a, resumeFor)
	}
	wantWords(t, "brokerctl attachments", p.Output("attachments", "md"), "md/c0.1", "risk", "resumable", "kept until")
	s.wantHeld()
	last := s.finish(false)
	if sum := fullSummaryOf(last); sum.Records != 4000 || sum.Start != a.Position {
		t.Errorf("the second reader tells %+v, want 4000 records from position %d on", sum, a.Position)
	}
	if a := s.parked(); a.ID != "md/c0.2" || a.Sequence != 5000 {
		t.Errorf("the cursor after the second reader: %+v", a)
	}
	t.Logf("1000 + 4000 records; the cursor was at position %d", a.Position)
}

const (
	// resumeKills is how many readers are killed, one after the other.
	resumeKills = 30
	killWithin  = 5 * time.Millisecond
)

// TestResumeAfterKills kills readers at random moments, be it while they attach.
// Nothing is lost; at most the last record that each had printed comes again.
func TestResumeAfterKills(t *testing.T) {
	p := newPlace(t, resumeRing)
	p.Start()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newCutStream(p, 100_000)
	printed := 0
	for n := range resumeKills {
		r := s.read()
		if n == 0 {
			s.feed()
		}
		if n%3 != 1 { // the others are killed while they start
			harness.Eventually(t, "a record", func() bool { return r.Stdout.String() != "" })
		}
		time.Sleep(time.Duration(random.Int64N(int64(killWithin))))
		r.Kill()
		s.count(r, true)
		if r.Stdout.String() != "" {
			printed++
		}
	}
	if s.have == 0 || s.have == len(s.lines) || !s.producer.Running() {
		t.Fatalf("the kills did not meet the stream: %d of %d bytes were printed", s.have, len(s.lines))
	}
	s.wantHeld()
	s.finish(true)
	fmt.Printf("counts: resume: %d readers killed, %d of them after their first record: none of %d records lost, %d came twice; seed %d\n",
		resumeKills, printed, len(s.lines)/100, s.twice, seed)
}

// TestResumeAcrossDaemons ends readers and daemons in every order. A daemon that
// dies gives a cursor that was kept before no more time.
func TestResumeAcrossDaemons(t *testing.T) {
	for name, die := range map[string]func(s *cutStream, d *harness.Daemon, r *harness.Process) (until int64){
		"the daemon dies while the cursor is kept": func(s *cutStream, d *harness.Daemon, r *harness.Process) int64 {
			r.Kill()
			until := s.parked().ResumeUntilNS
			d.Kill()
			return until
		},
		"the reader dies while no daemon runs": func(_ *cutStream, d *harness.Daemon, r *harness.Process) int64 {
			d.Kill()
			r.Kill()
			return 0
		},
		"the daemon dies right after the reader": func(_ *cutStream, d *harness.Daemon, r *harness.Process) int64 {
			r.Signal(sigkill)
			d.Kill()
			<-r.Ended
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, resumeRing)
			d := p.Start()
			s := newCutStream(p, 20_000)
			r := s.read()
			s.feed()
			harness.Eventually(t, "some records", func() bool { return len(r.Stdout.String()) > 50_000 })
			until := die(s, d, r)
			s.count(r, true)
			s.wantStuck()
			p.Start()
			a := s.parked()
			s.wantHeld()
			if left := time.Until(time.Unix(0, a.ResumeUntilNS)); left > resumeFor || left < resumeFor-harness.Patience {
				t.Errorf("the cursor is kept for %v more, of %v", left, resumeFor)
			}
			if until != 0 && a.ResumeUntilNS != until {
				t.Errorf("the cursor is kept until %d, and was until %d", a.ResumeUntilNS, until)
			}
			s.finish(true)
			t.Logf("resumed behind record %d", a.Sequence)
		})
	}
}

const (
	// shortResume is for how long the cursor of the next test is kept.
	shortResume = time.Second
	// expiryMax is how much later than promised a cursor may end: the daemon
	// looks every 200 ms.
	expiryMax = time.Second
)

// TestCursorExpires has nobody resume: after resume_for the producer goes on, and
// who comes then begins at the oldest record, and says so.
func TestCursorExpires(t *testing.T) {
	p := newPlace(t, fmt.Sprintf("[{name: md, capacity: 64KiB, resume_for: %v}]", shortResume))
	p.Start()
	s := newCutStream(p, 5000)
	first := s.read("--count", "10")
	s.feed()
	first.Expect(0)
	a := s.parked()
	until := time.Unix(0, a.ResumeUntilNS)
	s.wantHeld()
	held := harness.RingStats(t, s.c, "md")
	for looks := 0; ; looks++ {
		now := harness.RingStats(t, s.c, "md")
		if !time.Now().Before(until) { // now may be of later
			if looks == 0 {
				t.Fatal("this machine is too busy: nobody looked at the producer within resume_for")
			}
			break
		}
		if now.Sequence != held.Sequence {
			t.Fatalf("the producer moved from record %d to %d before the deadline", held.Sequence, now.Sequence)
		}
		time.Sleep(5 * time.Millisecond)
	}
	harness.Eventually(t, "the producer goes on", func() bool { return harness.RingStats(t, s.c, "md").Sequence > held.Sequence })
	late := time.Since(until)
	t.Logf("held at record %d; freed %v after the deadline", held.Sequence, late.Round(time.Millisecond))
	if late > expiryMax {
		t.Errorf("the producer was freed %v after the deadline, want at most %v", late, expiryMax)
	}
	s.producer.Expect(0)
	if list := harness.Attachments(t, s.c, "md"); len(list) != 0 {
		t.Errorf("attached: %+v, want nobody", list)
	}
	next := s.read("--until-end")
	next.Expect(0)
	sum, out := fullSummaryOf(next), next.Stdout.String()
	if sum.Resumed || sum.Start == 0 || sum.Missed != 0 || out == "" || !strings.HasSuffix(s.lines, out) {
		t.Errorf("the next reader tells %+v and printed %d bytes, want the newest lines from the oldest in the ring on", sum, len(out))
	}
	wantWords(t, "the next reader", next.Stderr.String(), "no cursor of risk to resume; it begins at the oldest record", fmt.Sprint(sum.Start))
}
