package docs

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"brokerd/tests/internal/harness"
)

// TestHostsPage runs docs/HOSTS.md, whose daemons are its own, on free ports in
// place of those it names, and compares what it prints but for what differs each
// time: times, ports, processes, epochs and bytes of heartbeats.
func TestHostsPage(t *testing.T) {
	const name = "docs/HOSTS.md"
	ports := strings.NewReplacer("19465", freePort(t), "19466", freePort(t))
	var script strings.Builder
	fmt.Fprintln(&script, "set -euo pipefail; trap 'kill $(jobs -p) 2> /dev/null || true; wait; cd /; rm -rf \"$here\"' EXIT")
	fmt.Fprintf(&script, "PATH=%s:$PATH\n", filepath.Dir(binaries.Brokerd)) // not those that know a socket
	wants := map[int]block{}
	count := -1
	for _, b := range blocksOf(t, name) {
		switch b.kind {
		case "sh":
			count++
			fmt.Fprintf(&script, "echo '%s %d'\n%s", marker, count, ports.Replace(b.text))
		case "text":
			wants[count] = b
		}
	}
	parts := strings.Split(bash(t, harness.NewPlace(t, binaries, "[]"), script.String()), marker+" ")
	if len(parts) != count+2 || len(wants) < 7 {
		t.Fatalf("%d of %d blocks ran, %d are compared", len(parts)-1, count+1, len(wants))
	}
	for i, part := range parts[1:] {
		_, got, _ := strings.Cut(part, "\n")
		if want, ok := wants[i]; ok && settled(got) != settled(want.text) {
			t.Errorf("%s:%d: the commands print\n%s\nand not\n%s", name, want.line, settled(got), settled(want.text))
		}
	}
}

// settled is an output without what differs each time.
func settled(text string) string {
	for _, r := range []struct{ pattern, instead string }{
		{`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`, "TIME"},
		{`\b\d+(\.\d+)?(ns|µs|ms|s)\b`, "DURATION"},
		{`127\.0\.0\.1:\d+`, "ADDRESS"},
		{`\S+/pki/`, "pki/"},
		{`\b\d{16}\b`, "EPOCH"},
		{`consumer +\d+ +\d+`, "consumer PID UID"},
		{`(MEMORY +OWNER.*\n.*iB) +\d+`, "$1 UID"},
		{`\d+ records/s`, "RATE"},
		{`[\d.]+(B|KiB) +[\d.]+(B|KiB) +0 +`, "IN OUT 0 "},
		{`the (peer closed the connection|connection broke.*)`, "REASON"},
		{` +`, " "},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.instead)
	}
	return text
}

func freePort(t *testing.T) string {
	t.Helper()
	t.Helper()
	_, port, _ := net.SplitHostPort(harness.FreeAddress(t))
	return port
}

// TestMessagesOfTheHostsPage: each message of the table at the end of docs/HOSTS.md
// stands in the source, or comes from the standard library.
func TestMessagesOfTheHostsPage(t *testing.T) {
	_, table, found := strings.Cut(page(t, "docs/HOSTS.md"), "| message | cause | what to do |\n")
	if !found {
		t.Fatal("the table is not there")
	}
	library := map[string]bool{"connect: connection refused": true, "certificate signed by unknown authority": true, "certificate has expired or is not yet valid": true}
	var source strings.Builder
	for _, dir := range []string{"gateway", "link", "control"} {
		files, err := filepath.Glob("../../internal/" + dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(name, "_test.go") {
				source.Write(text)
			}
		}
	}
	// A message may be put together from two literals.
	joined := regexp.MustCompile(`" \+\s*"`).ReplaceAllString(source.String(), "")
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(table, -1)
	if len(rows) < 10 {
		t.Fatalf("the table has %d rows", len(rows))
	}
	for _, row := range rows {
		if !library[row[1]] && !strings.Contains(joined, row[1]) {
			t.Errorf("no source says %q", row[1])
		}
	}
}

// TestHostsInTheReadme: the configuration that README.md shows for a mirror is one,
// and what it says of make demo-hosts is so.
func TestHostsInTheReadme(t *testing.T) {
	checked := 0
	for _, b := range blocksOf(t, "README.md") {
		if b.kind != "yaml" {
			continue
		}
		checked++
		p := harness.NewPlace(t, binaries, "[]")
		pki := harness.NewAuthority(t, binaries)
		pki.Issue("desk")
		p.Write(strings.ReplaceAll(b.text, "/etc/brokerd/pki", pki.Dir))
		harness.Launch(t, exec.Command(binaries.Brokerd, "--config", p.Config, "--check")).Expect(0)
	}
	if checked == 0 {
		t.Error("README.md shows no configuration")
	}
	if !strings.Contains(page(t, "README.md"), "make demo-hosts") {
		t.Error("README.md does not name make demo-hosts")
	}
	demo := harness.Launch(t, exec.Command("../../tests/demo/hosts.sh", filepath.Dir(binaries.Brokerd)))
	demo.Expect(0)
	if out := demo.Stdout.String(); !strings.Contains(out, "read at desk") || strings.Count(out, "8000") < 4 || strings.Count(out, "kill -9") != 2 {
		t.Errorf("make demo-hosts shows\n%s", out)
	}
	if left, err := filepath.Glob("/dev/shm/brokerd-hosts.*"); err != nil || len(left) > 0 {
		t.Errorf("make demo-hosts left %v, %v", left, err)
	}
}
