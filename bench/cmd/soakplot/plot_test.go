package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const header = "seconds,host,rss_bytes,own_bytes,heap_bytes,fds,threads,goroutines\n"

func TestPlot(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "s.csv"), filepath.Join(dir, "s.svg")
	rows := header + "0.0,origin,1048576,2,3,4,5,6\n0.0,mirror,1,2,3,4,5,6\n60.0,origin,2097152,2,3,4,5,6\n60.0,mirror,1,2,3,4,5,6\n"
	if err := os.WriteFile(from, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(from, to); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range figures() {
		if !bytes.Contains(svg, []byte(f.title)) {
			t.Errorf("the plot lacks %q", f.title)
		}
	}
	series, err := read(strings.NewReader(rows))
	if err != nil {
		t.Fatal(err)
	}
	if got := series[key{"rss_bytes", "origin"}]; len(got) != 2 || got[1].X != 1 || got[1].Y != 2 {
		t.Errorf("RSS of origin: %v, want 2 MiB at 1 minute", got)
	}
}

func TestBadSamples(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "want a header",
		header:                              "want a header",
		"seconds,host\n1,origin\n":          "no column rss_bytes",
		header + "0.0,origin,x,2,3,4,5,6\n": "line 2",
		header + "0.0,origin,1,2,3,4,5\n":   "wrong number of fields",
		"seconds,rss_bytes\n1,2\n":          "no column host",
	} {
		if _, err := read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
