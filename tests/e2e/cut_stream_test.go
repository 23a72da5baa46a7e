package e2e

import (
	"io"
	"slices"
	"strings"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// cutStream is a producer of lines and, one after the other, the block readers
// named risk that are to print all of them.
type cutStream struct {
	p        place
	c        *client.Client
	lines    string
	input    io.WriteCloser
	producer *harness.Process
	readers  []*harness.Process
	have     int // bytes of lines that the readers so far have printed
	twice    int // records that were printed a second time after a kill
}

func newCutStream(p place, records int) *cutStream {
	s := &cutStream{p: p, c: p.Dial(), lines: numberedLines(records)}
	cmd := p.Command("attach", "md", "--as", "producer", "--end", "-o", "json")
	s.input = pipeTo(p.T, cmd)
	s.producer = harness.Launch(p.T, cmd)
	return s
}

// feed writes all lines, once the first reader holds the ring; the pipe fills
// while readers are away.
func (s *cutStream) feed() {
	s.p.T.Helper()
	first := s.readers[0]
	harness.Eventually(s.p.T, "the first reader is attached", func() bool {
		return strings.Contains(first.Stderr.String(), "begins at the oldest record, position 0")
	})
	go func() {
		_, _ = io.WriteString(s.input, s.lines) // what is missing is missed below
		_ = s.input.Close()
	}()
}

// read starts the next reader.
func (s *cutStream) read(more ...string) *harness.Process {
	s.p.T.Helper()
	args := []string{"attach", "md", "--as", "consumer", "--name", "risk", "--policy", "block", "--from", "resume", "-o", "json"}
	r := s.p.Ctl(append(args, more...)...)
	s.readers = append(s.readers, r)
	return r
}

// count adds what a reader that has ended printed: it goes on where the one
// before stopped, or, where that one was killed, with its last record once more.
func (s *cutStream) count(r *harness.Process, afterKill bool) {
	t := s.p.T
	t.Helper()
	out := r.Stdout.String()
	if out == "" {
		return
	}
	starts := []int{s.have}
	if again := strings.LastIndexByte(s.lines[:max(s.have-1, 0)], '\n') + 1; afterKill {
		starts = []int{again, s.have}
		if s.have%100 != 0 { // it was killed within a write
			starts = starts[:1]
		}
	}
	for _, start := range starts {
		if strings.HasPrefix(s.lines[start:], out) {
			if start < s.have {
				s.twice++
			}
			s.have = start + len(out)
			return
		}
	}
	t.Fatalf("after %d bytes of the feed came %q...", s.have, out[:min(len(out), 100)])
}

// parked waits until the cursor is all that is left of the reader, and the
// producer is held by it.
func (s *cutStream) parked() client.Attachment {
	t := s.p.T
	t.Helper()
	var cursor client.Attachment
	harness.Eventually(t, "the cursor is kept", func() bool {
		list := harness.Attachments(t, s.c, "md")
		i := slices.IndexFunc(list, func(a client.Attachment) bool { return a.State == client.StateResumable })
		if i >= 0 {
			cursor = list[i]
		}
		return i >= 0
	})
	if cursor.Name != "risk" || cursor.Policy != client.PolicyBlock || cursor.Role != client.RoleConsumer {
		t.Errorf("the cursor that is kept: %+v", cursor)
	}
	return cursor
}

// wantHeld checks that the cursor holds the producer.
func (s *cutStream) wantHeld() {
	t := s.p.T
	t.Helper()
	before := harness.RingStats(t, s.c, "md").HeldNS
	var now client.RingStats
	harness.Eventually(t, "the producer is held", func() bool {
		now = harness.RingStats(t, s.c, "md")
		return now.HeldNS > before+uint64(30*time.Millisecond)
	})
	if later := harness.RingStats(t, s.c, "md"); later.Sequence != now.Sequence || !s.producer.Running() {
		t.Errorf("nobody reads, and the producer moved from record %d to %d", now.Sequence, later.Sequence)
	}
}

// wantStuck checks, without a daemon to ask, that the producer does not end.
func (s *cutStream) wantStuck() {
	select {
	case <-s.producer.Ended:
		s.p.T.Errorf("nobody reads, and the producer has published everything")
	case <-time.After(50 * time.Millisecond):
	}
}

// finish reads to the end; the readers together have printed the feed.
func (s *cutStream) finish(afterKill bool) *harness.Process {
	t := s.p.T
	t.Helper()
	last := s.read("--until-end")
	last.Expect(0)
	s.producer.Expect(0)
	s.count(last, afterKill)
	if s.have != len(s.lines) {
		t.Fatalf("%d bytes of the feed were printed, want %d", s.have, len(s.lines))
	}
	sum := fullSummaryOf(last)
	if want := uint64(strings.Count(last.Stdout.String(), "\n")); sum.Records != want || sum.Missed != 0 || sum.Gaps != 0 || !sum.Resumed {
		t.Errorf("the last reader tells %+v, want %d records, none missed, resumed", sum, want)
	}
	wantWords(t, "the last reader", last.Stderr.String(), "brokerctl: md: resumed the cursor of risk at position", "missed 0")
	return last
}
