package e2e

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// resumeArgs are a reader that resumes the cursor risk of ring md.
func resumeArgs(more ...string) []string {
	return append([]string{"attach", "md", "--as", "consumer", "--name", "risk", "--from", "resume", "-o", "json"}, more...)
}

// TestResumeWhileTheReaderLives is refused, whatever state the reader is in, and
// does not disturb it.
func TestResumeWhileTheReaderLives(t *testing.T) {
	p := newPlace(t, resumeRing)
	d := p.Start()
	c := p.Dial()
	reader := p.Ctl(resumeArgs("--policy", "block")...)
	harness.WaitAttached(t, c, "md", 1)
	refused := func(state string) {
		t.Helper()
		second := p.Ctl(resumeArgs()...)
		second.Expect(4)
		wantWords(t, state, second.Stderr.String(), "brokerctl: ", "cursor risk", fmt.Sprintf("pid %d", reader.PID()), "md/c0.1, "+state)
		if n := strings.Count(second.Stderr.String(), "\n"); n != 1 {
			t.Errorf("%d lines on stderr, want 1:\n%s", n, second.Stderr)
		}
	}
	refused("attached")
	p.Publish("md", "one\n")
	harness.Eventually(t, "the reader reads", func() bool { return reader.Stdout.String() == "one\n" })
	reader.Stop()
	refused("attached")
	d.Kill()
	p.Start() // which the stopped reader cannot come back to
	refused("detached")
	p.Publish("md", "two\n")
	reader.Resume()
	harness.WaitAttached(t, c, "md", 1)
	harness.Eventually(t, "the reader reads on", func() bool { return reader.Stdout.String() == "one\ntwo\n" })
	refused("attached")
	reader.Kill()
	p.Publish("md", "three\n", "--end")
	next := p.Ctl(resumeArgs("--until-end")...)
	next.Expect(0)
	if out := next.Stdout.String(); !strings.HasSuffix("one\ntwo\nthree\n", out) || !strings.HasSuffix(out, "three\n") || strings.Contains(out, "one") {
		t.Errorf("after the reader's death the next one printed %q", out)
	}
}

// TestResumeOfAnotherUser is refused in both directions; the cursor stays its
// owner's.
func TestResumeOfAnotherUser(t *testing.T) {
	harness.NeedRoot(t, "to run brokerctl as another user")
	p := newPlace(t, "[{name: md, capacity: 64KiB, resume_for: 30s, allow: {consume: {users: [65534, 912001]}, gate: {users: [65534]}}}]")
	p.Start()
	c := p.Dial()
	as := func(uid uint32, args ...string) *exec.Cmd { return harness.AsUser(p.Command(args...), uid, uid) }
	p.Publish("md", "one\ntwo\nthree\n", "--end")
	guest := harness.Launch(t, as(guestUID, resumeArgs("--policy", "block", "--count", "1")...))
	guest.Expect(0)
	for _, uid := range []uint32{0, strangerUID} {
		thief := harness.Launch(t, as(uid, resumeArgs("--until-end")...))
		thief.Expect(4)
		wantWords(t, "the thief", thief.Stderr.String(), "brokerctl: ", "md", "risk", "uid 65534", fmt.Sprintf("uid %d", uid))
		if thief.Stdout.String() != "" {
			t.Errorf("uid %d was refused and printed %q", uid, thief.Stdout)
		}
	}
	// A reader of that name that resumes nothing is welcome, and takes nothing away.
	other := harness.Launch(t, as(strangerUID, "attach", "md", "--as", "consumer", "--name", "risk", "--from", "oldest", "--count", "2"))
	other.Expect(0)
	if other.Stdout.String() != "one\ntwo\n" {
		t.Errorf("the other reader printed %q", other.Stdout)
	}
	list := harness.Attachments(t, c, "md")
	if len(list) != 2 || list[0].UID != guestUID || list[1].UID != strangerUID || list[0].Sequence != 1 || list[1].Sequence != 2 {
		t.Fatalf("the cursors: %+v, want one of each user", list)
	}
	for uid, want := range map[uint32]string{guestUID: "two\nthree\n", strangerUID: "three\n"} {
		owner := harness.Launch(t, as(uid, resumeArgs("--until-end")...))
		owner.Expect(0)
		if s := fullSummaryOf(owner); owner.Stdout.String() != want || !s.Resumed {
			t.Errorf("uid %d resumed and printed %q, want %q; %+v", uid, owner.Stdout, want, s)
		}
	}
}

// TestResumeCommandLine: what cannot work says so.
func TestResumeCommandLine(t *testing.T) {
	p := newPlace(t, "[{name: md, capacity: 64KiB, resume_for: 30s}, {name: plain, capacity: 64KiB}]")
	p.Start()
	nameless := p.Ctl("attach", "md", "--as", "consumer", "--from", "resume")
	nameless.Expect(2)
	wantWords(t, "without a name", nameless.Stderr.String(), "--from resume", "--name")
	p.Publish("plain", "one\ntwo\n", "--end")
	for range 2 { // a ring without resume_for keeps no cursor
		r := p.Ctl("attach", "plain", "--as", "consumer", "--name", "risk", "--from", "resume", "--count", "1")
		r.Expect(0)
		wantWords(t, "without resume_for", r.Stderr.String(), "plain", "has no resume_for", "oldest")
		if r.Stdout.String() != "one\n" {
			t.Errorf("it printed %q", r.Stdout)
		}
	}
	if list := harness.Attachments(t, p.Dial(), ""); len(list) != 0 {
		t.Errorf("left: %+v", list)
	}
}

// TestCursorIsDiscarded by a reader of that name that begins anew: the producer
// goes on at once.
func TestCursorIsDiscarded(t *testing.T) {
	p := newPlace(t, resumeRing)
	p.Start()
	s := newCutStream(p, 3000)
	first := s.read("--count", "10")
	s.feed()
	first.Expect(0)
	s.parked()
	s.wantHeld()
	begin := time.Now()
	p.Ctl("attach", "md", "--as", "consumer", "--name", "risk", "--policy", "skip", "--from", "oldest", "--count", "1").Expect(0)
	s.producer.Expect(0)
	t.Logf("the producer published the rest within %v", since(begin))
}

// TestResumedSkipReaderCountsWhatItMissed parks the cursor of a skip reader while
// the ring is filled many times over, with gaps in between.
func TestResumedSkipReaderCountsWhatItMissed(t *testing.T) {
	p := newPlace(t, "[{name: md, capacity: 64KiB, producers: many, resume_for: 30s}]")
	p.Start()
	c := p.Dial()
	producer, err := c.Producer(harness.Bounded(t), "md", client.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	number := 0
	publish := func(n int) {
		for range n {
			text := fmt.Sprintf("%050d", number)
			buf, err := producer.Reserve(harness.Bounded(t), len(text))
			if err != nil {
				t.Fatal(err)
			}
			copy(buf, text)
			finish := producer.Commit
			if number%7 == 3 {
				finish = producer.Abort // which leaves a gap of one record
			}
			if err := finish(); err != nil {
				t.Fatal(err)
			}
			number++
		}
	}
	publish(40)
	first := p.Ctl(resumeArgs("--policy", "skip", "--count", "20")...)
	first.Expect(0)
	list := harness.Attachments(t, c, "md")
	if len(list) != 2 || list[0].State != client.StateResumable {
		t.Fatalf("attached: %+v, want the cursor and the producer", list)
	}
	cursor := list[0]
	publish(5000)
	if held := harness.RingStats(t, c, "md").HeldNS; held != 0 {
		t.Errorf("the cursor of a skip reader held the producer for %v", time.Duration(held))
	}
	total := harness.RingStats(t, c, "md").Sequence
	if err := producer.End(harness.Bounded(t)); err != nil {
		t.Fatal(err)
	}
	second := p.Ctl(resumeArgs("--policy", "skip", "--until-end")...)
	second.Expect(0)
	a, b := fullSummaryOf(first), fullSummaryOf(second)
	t.Logf("first: %d records, %d gaps; second: missed %d, %d records, %d gaps; %d in all", a.Records, a.Gaps, b.Missed, b.Records, b.Gaps, total)
	if total != 5040 || a.Records != 20 || a.Records+a.Gaps != cursor.Sequence || a.Missed != 0 {
		t.Errorf("the first reader tells %+v; its cursor is %+v, the ring holds %d records", a, cursor, total)
	}
	if b.Missed == 0 || b.Gaps == 0 || !b.Resumed || cursor.Sequence+b.Missed+b.Records+b.Gaps != total {
		t.Errorf("the second reader tells %+v; want %d records, some missed and some in gaps", b, total-cursor.Sequence)
	}
	wantWords(t, "the second reader", second.Stderr.String(), "resumed the cursor of risk", fmt.Sprintf("missed %d", b.Missed))
	// What it printed is each record from the first one on that it did not miss.
	next := int(cursor.Sequence + b.Missed)
	var want strings.Builder
	for ; next < number; next++ {
		if next%7 != 3 {
			fmt.Fprintf(&want, "%050d\n", next)
		}
	}
	if second.Stdout.String() != want.String() {
		t.Errorf("it printed %d bytes, want all %d from record %d on", len(second.Stdout.String()), want.Len(), cursor.Sequence+b.Missed)
	}
}
