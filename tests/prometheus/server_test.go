package prometheus

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"brokerd/tests/internal/harness"
)

// What a reader of the page has to change, and what these tests change.
const (
	pageTarget   = "127.0.0.1:9464"
	pageRules    = "/etc/prometheus/brokerd.rules.yml"
	pageInterval = "15s"
	scrapeEvery  = "200ms"
)

// askEvery is how often an answer is looked at.
const askEvery = 50 * time.Millisecond

// debian is the package that has the two programs.
const debian = "prometheus"

// server is a running Prometheus that scrapes one daemon.
type server struct {
	*harness.Process
	address string
}

// watch starts a Prometheus on the configuration of docs/METRICS.md.
func watch(t testing.TB, d *harness.Daemon) *server {
	t.Helper()
	program := harness.Tool(t, "prometheus", debian)
	rules, err := filepath.Abs("../../deploy/prometheus/brokerd.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := pageConfig(t)
	for old, ours := range map[string]string{pageTarget: d.Admin(), pageRules: rules, pageInterval: scrapeEvery} {
		if strings.Count(text, old) != 1 {
			t.Fatalf("the configuration in docs/METRICS.md has %q %d times, want 1", old, strings.Count(text, old))
		}
		text = strings.Replace(text, old, ours, 1)
	}
	text = "global: {evaluation_interval: " + scrapeEvery + "}\n" + text
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{Process: harness.Launch(t, exec.Command(program, "--config.file="+config,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0"))}
	listening := regexp.MustCompile(`msg="Listening on" address=(\S+)`)
	harness.Eventually(t, "prometheus listens", func() bool {
		if !s.Running() {
			t.Fatalf("prometheus ended: %v\n%s", s.Err, s.Stderr)
		}
		found := listening.FindStringSubmatch(s.Stderr.String())
		if found != nil {
			s.address = found[1]
		}
		return found != nil
	})
	s.expect(`up{job="brokerd"}`, 1)
	return s
}

// pageConfig is the one block of YAML in the page.
func pageConfig(t testing.TB) string {
	t.Helper()
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page(t), -1)
	if len(blocks) != 1 {
		t.Fatalf("docs/METRICS.md has %d blocks of YAML, want 1", len(blocks))
	}
	return blocks[0][1]
}

func page(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// api asks the HTTP API and decodes what it answers. It tells whether the
// server answers yet.
func (s *server) api(path string, out any) bool {
	s.T.Helper()
	asker := http.Client{Timeout: harness.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := asker.Get("http://" + s.address + "/api/v1/" + path)
	if err != nil {
		s.T.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.T.Fatal(err)
	}
	if response.StatusCode == http.StatusServiceUnavailable {
		return false
	}
	answer := struct {
		Status, Error string
		Data          any
	}{Data: out}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Status != "success" {
		s.T.Fatalf("%s: %v: %s", path, err, text)
	}
	return true
}

// sample is one series of an answer.
type sample struct {
	Metric map[string]string
	Value  [2]any // time, value as text
}

func (s *server) query(promql string) []sample {
	s.T.Helper()
	var data struct{ Result []sample }
	s.api("query?query="+url.QueryEscape(promql), &data)
	return data.Result
}

// value is the answer to a query; NaN when it is not exactly one series.
func (s *server) value(promql string) float64 {
	s.T.Helper()
	result := s.query(promql)
	if len(result) != 1 {
		return math.NaN()
	}
	v, err := strconv.ParseFloat(fmt.Sprint(result[0].Value[1]), 64)
	if err != nil {
		s.T.Fatalf("%s: %v", promql, err)
	}
	return v
}

// expect waits until a query has that one answer.
func (s *server) expect(promql string, want float64) {
	s.T.Helper()
	s.expectThat(promql, fmt.Sprint(want), func(v float64) bool { return v == want })
}

// expectThat waits until a query has one answer that is good.
func (s *server) expectThat(promql, want string, good func(float64) bool) {
	s.T.Helper()
	defer func() {
		if s.T.Failed() {
			s.T.Logf("%s: want %s, got %v", promql, want, s.query(promql))
		}
	}()
	harness.EventuallyEvery(s.T, askEvery, promql+" is "+want, func() bool { return good(s.value(promql)) })
}
