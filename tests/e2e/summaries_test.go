package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"brokerd/tests/internal/harness"
)

// fullSummary is all that brokerctl attach -o json tells when it ends.
type fullSummary struct {
	summary
	MissedBytes uint64 `json:"missed_bytes"`
	Filtered    uint64 `json:"filtered_records"`
	Checksums   uint64 `json:"checksum_errors"`
	Resumed     bool   `json:"resumed"`
	Start       uint64 `json:"start_position"`
}

// summariesOf reads the summaries, one a ring, in the order of stderr.
func summariesOf(p *harness.Process) []fullSummary {
	p.T.Helper()
	var all []fullSummary
	for line := range strings.Lines(p.Stderr.String()) {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var s fullSummary
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			p.T.Fatalf("summary %q: %v", line, err)
		}
		all = append(all, s)
	}
	return all
}

// fullSummaryOf is that of the only ring.
func fullSummaryOf(p *harness.Process) fullSummary {
	p.T.Helper()
	all := summariesOf(p)
	if len(all) != 1 {
		p.T.Fatalf("%q: %d summaries on stderr, want 1:\n%s", p.Cmd.Args, len(all), p.Stderr)
	}
	return all[0]
}

// wantWords expects all words in one line of a text.
func wantWords(t testing.TB, what, text string, words ...string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if containsWords(line, words) {
			return
		}
	}
	t.Errorf("%s: no line with all of %q:\n%s", what, words, text)
}
