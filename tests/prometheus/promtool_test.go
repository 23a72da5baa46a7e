package prometheus

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	rulesFile     = "../../deploy/prometheus/brokerd.rules.yml"
	ruleTestsFile = "testdata/brokerd.rules.test.yml"
)

// promtool runs promtool, which must be content.
func promtool(t *testing.T, stdin string, args ...string) (output string) {
	t.Helper()
	cmd := exec.Command(harness.Tool(t, "promtool", debian), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("promtool %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// TestNames has promtool judge a scrape in which nearly every metric has a value.
func TestNames(t *testing.T) {
	t.Parallel()
	d := harness.NewPlace(t, binaries, "[{name: md, capacity: 64KiB}]", linked).Start()
	c := d.Dial()
	if _, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{Name: "reader"}); err != nil {
		t.Fatal(err)
	}
	producer(t, c, "md")
	_, text := d.Get("/metrics")
	if complaints := promtool(t, text, "check", "metrics"); complaints != "" {
		t.Errorf("promtool check metrics:\n%s", complaints)
	}
	for _, name := range pageMetrics(t) {
		if !strings.Contains(text, "\n"+name) && !absent.MatchString(name) {
			t.Errorf("%s is not in the scrape", name)
		}
	}
}

// linked are keys of a mirror and a feed, neither of which has anybody to connect to.
const linked = `gateway: {tls: off, peers: [{name: b, address: "127.0.0.1:1", mirror: [fills]}]}
feeds: [{name: exchange, ring: md, connect: "127.0.0.1:1", direction: out, framing: line}]`

// absent are metrics of whom nobody is: a user other than root, a remote client,
// a refused host.
var absent = regexp.MustCompile("^brokerd_(uid_|remote_clients|refused_handshakes|certificate_)")

// TestRules has promtool judge and try the alerts.
func TestRules(t *testing.T) {
	promtool(t, "", "check", "rules", rulesFile)
	promtool(t, "", "test", "rules", ruleTestsFile)
}

// TestRulesAndPageAgree holds alerts, their tests and the page together, and the
// names in all of them to the metrics there are.
func TestRulesAndPageAgree(t *testing.T) {
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(text, &rules); err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(ruleTestsFile)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			rows = append(rows, "| `"+r.Alert+"` | "+r.Labels["severity"]+" |")
			if !strings.Contains(string(tests), `alertname="`+r.Alert+`"`) {
				t.Errorf("%s does not try %s", ruleTestsFile, r.Alert)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s: %s has no summary or no description", rulesFile, r.Alert)
			}
		}
	}
	shown := regexp.MustCompile("(?m)^\\| `Brokerd\\w+` \\| \\w+ \\|").FindAllString(page(t), -1)
	if len(rows) == 0 || !slices.Equal(shown, rows) {
		t.Errorf("docs/METRICS.md lists the alerts\n  %s\nthe rules are\n  %s", strings.Join(shown, "\n  "), strings.Join(rows, "\n  "))
	}
	known := pageMetrics(t)
	for _, name := range regexp.MustCompile(`\bbrokerd_\w+`).FindAllString(string(text)+string(tests)+page(t), -1) {
		if !slices.Contains(known, name) {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// pageMetrics are the metrics that docs/METRICS.md lists; a test of
// internal/metrics holds the list to the code.
func pageMetrics(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(brokerd_\\w+)` \\| (?:gauge|counter) \\|").FindAllStringSubmatch(page(t), -1) {
		names = append(names, row[1])
	}
	if len(names) == 0 {
		t.Fatal("docs/METRICS.md lists no metric")
	}
	return names
}

// TestPageQueries asks every question of the page.
func TestPageQueries(t *testing.T) {
	t.Parallel()
	d := harness.NewPlace(t, binaries, "[{name: md, capacity: 64KiB}]", linked).Start()
	c := d.Dial()
	if _, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{Name: "reader"}); err != nil {
		t.Fatal(err)
	}
	s := watch(t, d)
	_, after, _ := strings.Cut(page(t), "| question | query |\n")
	table, _, _ := strings.Cut(after, "\n\n")
	queries := regexp.MustCompile("(?m)^\\| .* \\| `(.*)` \\|$").FindAllStringSubmatch(table, -1)
	if len(queries) == 0 || len(queries) != strings.Count(table, "\n") {
		t.Fatalf("%d queries found in\n%s", len(queries), table)
	}
	// Only a user with a quota, and a call that is refused, answer these.
	unasked := regexp.MustCompile(`brokerd_uid_|result!="ok"`)
	for _, q := range queries {
		if unasked.MatchString(q[1]) {
			s.query(q[1])
			continue
		}
		s.expectThat(q[1], "one answer", func(v float64) bool { return v >= 0 })
	}
}
