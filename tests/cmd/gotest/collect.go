package main

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// event is a line of `go test -json` (see `go doc test2json`); times are seconds.
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64
	Output  string
}

// testID names a test, or with an empty test the package itself.
type testID struct{ pkg, test string }

func (id testID) String() string {
	if id.test == "" {
		return id.pkg
	}
	return id.pkg + " " + id.test
}

// collector follows one `go test -json`: it keeps the output of running tests and forgets that of passed ones.
type collector struct {
	t      *tally
	show   bool
	output map[testID]*strings.Builder
	ran    map[string]int  // tests ended, by package
	failed map[string]bool // packages of which a test failed
}

func newCollector(t *tally, show bool) *collector {
	return &collector{t, show, map[testID]*strings.Builder{}, map[string]int{}, map[string]bool{}}
}

func (c *collector) readAll(r io.Reader) error {
	return eachLine(r, func(line []byte) {
		var e event
		if json.Unmarshal(line, &e) != nil || e.Action == "" {
			fmt.Fprintf(c.t.w, "%s\n", line) // go's own words, such as a download
			return
		}
		c.add(e)
	})
}

func (c *collector) add(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "output":
		if c.output[id] == nil {
			c.output[id] = new(strings.Builder)
		}
		c.output[id].WriteString(e.Output)
	case "build-output":
		fmt.Fprint(c.t.w, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			c.endPackage(e)
		} else {
			c.endTest(id, e.Action)
		}
		delete(c.output, id)
	}
}

func (c *collector) endTest(id testID, action string) {
	c.ran[id.pkg]++
	switch action {
	case "pass":
		c.t.passed++
		if text := said(c.text(id)); c.show {
			fmt.Fprint(c.t.w, text)
		} else {
			fmt.Fprint(c.t.w, counts(text))
		}
	case "fail":
		c.failed[id.pkg] = true
		c.t.fail(id.String())
		fmt.Fprintf(c.t.w, "\nFAIL %s\n%s\n", id, c.text(id))
	case "skip":
		c.t.skips = append(c.t.skips, skip{id, reason(c.text(id))})
	}
}

// endPackage reports a package. One that failed without a failed test did not build, panicked, hung or leaked;
// then the output of the tests it left unfinished is the evidence.
func (c *collector) endPackage(e event) {
	switch e.Action {
	case "pass":
		fmt.Fprintf(c.t.w, "   ok   %s  %.1fs, %d tests\n", e.Package, e.Elapsed, c.ran[e.Package])
	case "fail":
		fmt.Fprintf(c.t.w, "   FAIL %s  %.1fs\n", e.Package, e.Elapsed)
		for id, text := range c.output {
			if id.pkg == e.Package {
				fmt.Fprintf(c.t.w, "\noutput of %s\n%s\n", id, text)
			}
		}
		if !c.failed[e.Package] {
			c.t.fail(e.Package + " (see its output above)")
		}
	}
}

func (c *collector) text(id testID) string {
	if b := c.output[id]; b != nil {
		return b.String()
	}
	return ""
}

// countsPrefix begins the lines that are shown of a passing test, too: what a test with many random runs has
// counted, and the seed to run it again.
const countsPrefix = "counts: "

func counts(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, countsPrefix) {
			kept.WriteString("   " + line)
		}
	}
	return kept.String()
}

// said drops the frame that go test puts around a test's own lines.
func said(output string) string {
	var kept strings.Builder
	for line := range strings.Lines(output) {
		if frame := strings.TrimSpace(line); !strings.HasPrefix(frame, "=== ") && !strings.HasPrefix(frame, "--- ") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// reason is what a skipped test said, on one line, without the places in the source.
func reason(output string) string {
	place := regexp.MustCompile(`(?m)^\s*\S+\.go:\d+: `)
	words := strings.Fields(place.ReplaceAllString(said(output), ""))
	if len(words) == 0 {
		return "no reason given"
	}
	return strings.Join(words, " ")
}
