package metrics

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// row is how the page shows a metric.
func row(f family) string {
	kind := map[prometheus.ValueType]string{gauge: "gauge", counter: "counter"}[f.kind]
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", f.name, kind, strings.Join(f.labels, ", "), f.help)
}

// The page has the row of each metric, word for word, and a row for no other.
func TestPageHasEveryMetric(t *testing.T) {
	page, err := os.ReadFile("../../docs/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `brokerd_") {
			if shown[line] {
				t.Errorf("docs/METRICS.md says twice: %s", line)
			}
			shown[line] = true
		}
	}
	for _, f := range table() {
		if r := row(f); !shown[r] {
			t.Errorf("docs/METRICS.md lacks the row\n%s", r)
		} else {
			delete(shown, r)
		}
	}
	for r := range shown {
		t.Errorf("docs/METRICS.md has a row that is not so:\n%s", r)
	}
}
