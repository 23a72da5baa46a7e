package limits

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// limit is one thing that runs out.
type limit struct {
	name   string
	series string // that shows it, "" for the one of name
	fs     string // how the tmpfs is mounted; "" for amply
	rings  string // beside the one of the witness; "" for md
	more   string // further keys of the configuration
	inside func(t *testing.T) (command []string, set func(uint64))

	reach func(s *scene)       // takes all that there is; s.undo gives some back
	past  func(s *scene) error // one more; nil when there was room
	is    error                // of the client, nil where past has text only
	says  []string             // what was wrong, where, and what to do
}

// TestLimits goes to each limit and past it, and back.
func TestLimits(t *testing.T) {
	harness.NeedRoot(t, "to mount tmpfs and to act as another user")
	rows := slices.Concat(configured(), ofTmpfs(), ofHost(), ofDescriptors())
	passed := 0
	for _, l := range rows {
		if t.Run(strings.ReplaceAll(l.name, " ", "-"), func(t *testing.T) { l.check(t) }) {
			passed++
		}
	}
	if passed == len(rows) {
		fmt.Printf("counts: limits: %d limits, each refused at one past and recovered\n", passed)
	}
}

func (l limit) check(t *testing.T) {
	var inside []string
	set := func(uint64) {}
	if l.inside != nil {
		inside, set = l.inside(t)
	}
	s := startScene(t, or(l.fs, "size=64m"), or(l.rings, mdRing), inside, l.more)
	s.memory = set
	s.exchange()
	l.reach(s)
	s.exchange()

	series := or(l.series, "brokerd_refusals_total{limit="+l.name+"}")
	before, logged := s.scrape()[series], len(s.Stderr.String())
	err := l.past(s)
	if err == nil {
		t.Fatal("one past the limit was not refused")
	}
	if l.is != nil && !errors.Is(err, l.is) {
		t.Errorf("refused with %v, want %v", err, l.is)
	}
	wantWords(t, "the client was told", err.Error(), l.says)
	harness.Eventually(t, "the log says it", func() bool { return strings.Contains(s.Stderr.String()[logged:], l.says[0]) })
	if after := s.scrape()[series]; after <= before {
		t.Errorf("%s is %v, and was %v before the refusal", series, after, before)
	}
	s.exchange()

	s.undo()
	s.exchange()
	harness.Eventually(t, "there is room again", func() bool { err = l.past(s); return err == nil })
	s.exchange()
	s.healthy()
}

// healthy says that the daemon runs, and has met nothing that it did not expect.
func (s *scene) healthy() {
	s.t.Helper()
	if !s.Running() {
		s.t.Fatalf("the daemon ended: %v", s.Err)
	}
	for _, word := range []string{"panic", "fatal error", "goroutine "} {
		if strings.Contains(s.Stderr.String(), word) {
			s.t.Errorf("the log has %q", word)
		}
	}
	var status client.Status
	s.Object(&status, "status")
	if len(status.Quarantined) != 0 {
		s.t.Errorf("quarantined: %v", status.Quarantined)
	}
}

func wantWords(t *testing.T, what, text string, words []string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%s %q, which lacks %q", what, text, w)
		}
	}
	t.Logf("%s: %s", what, text)
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
