package daemon

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestFlags(t *testing.T) {
	p := newPlace(t, oneRing)
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string // what each must contain; "" for nothing at all
	}{
		{[]string{"--help"}, 0, "Examples:", ""},
		{[]string{"-h"}, 0, "Examples:", ""},
		{[]string{"--version"}, 0, "brokerd " + testVersion + "\n", ""},
		{[]string{"--colour"}, 2, "", "brokerd --help"},
		{[]string{"--config"}, 2, "", "brokerd --help"},
		{[]string{"--config", ""}, 2, "", "name is empty"},
		{[]string{"start"}, 2, "", `"start"`},
		{[]string{"--check", "--print-config"}, 2, "", "exclude each other"},
		{[]string{"--check", "--config", p.config}, 0, p.config + ": ok (1 ring, ", ""},
		{[]string{"--check"}, 0, "built-in configuration: ok (1 ring, ", ""},
		{[]string{"--check", "--config", "/nonexistent.yaml"}, 1, "", "/nonexistent.yaml"},
		{[]string{"--print-config", "--config", p.config}, 0, "socket: " + p.socket, ""},
	} {
		code, stdout, stderr := runToEnd(t, c.args...)
		if code != c.code {
			t.Errorf("%q: exit code %d, want %d", c.args, code, c.code)
		}
		if !strings.Contains(stdout, c.stdout) || (c.stdout == "") != (stdout == "") {
			t.Errorf("%q: stdout %q, want %q", c.args, stdout, c.stdout)
		}
		if !strings.Contains(stderr, c.stderr) || (c.stderr == "") != (stderr == "") {
			t.Errorf("%q: stderr %q, want %q", c.args, stderr, c.stderr)
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	_, help, _ := runToEnd(t, "--help")
	for _, flag := range []string{"--config FILE", "--check", "--print-config", "--version", "--help"} {
		if !strings.Contains(help, flag) {
			t.Errorf("the help does not name %s", flag)
		}
	}
}

func TestCheckReportsEverything(t *testing.T) {
	p := newPlace(t, oneRing)
	p.write(t, "limits:\n  memory: 1MiB\n  rings: x\nrings:\n  - name: ../x\n    capacity: 3MiB\n")
	code, stdout, stderr := runToEnd(t, "--check", "--config", p.config)
	if code != 1 || stdout != "" {
		t.Errorf("exit code %d, stdout %q", code, stdout)
	}
	for _, want := range []string{":3: ", "limits.rings", ":5: ", "name", ":6: ", "capacity"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in:\n%s", want, stderr)
		}
	}
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "brokerd: "+p.config) {
			t.Errorf("a line without the name of the file: %q", line)
		}
	}
}

// TestCheckKnowsTheMemoryAStartTakes holds --check and the broker together.
func TestCheckKnowsTheMemoryAStartTakes(t *testing.T) {
	p := newPlace(t, "[{name: md, capacity: 1MiB, consumers_max: 3}, {name: orders, capacity: 64KiB, timestamps: false}]")
	_, stdout, _ := runToEnd(t, "--check", "--config", p.config)
	start(t, p)
	memory := dial(t, p.socket).status().MemoryBytes
	if want := fmt.Sprintf("%s: ok (2 rings, %d bytes)\n", p.config, memory); stdout != want {
		t.Errorf("--check says %q, a start takes what makes %q", stdout, want)
	}
}

// TestCheckFindsWhatAStartWouldRefuse is at the border: the capacities fit
// into limits.memory, the files do not.
func TestCheckFindsWhatAStartWouldRefuse(t *testing.T) {
	p := newPlace(t, oneRing, "limits: {memory: 64KiB}")
	code, _, stderr := runToEnd(t, "--check", "--config", p.config)
	if code != 1 || !strings.Contains(stderr, "limits.memory") {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
	expectRefusal(t, p, "rings[0] (md)", "limits.memory")
}

func TestPrintedConfigurationRuns(t *testing.T) {
	p := newPlace(t, oneRing)
	_, printed, _ := runToEnd(t, "--print-config", "--config", p.config)
	p.write(t, printed)
	_, again, _ := runToEnd(t, "--print-config", "--config", p.config)
	if printed != again || printed == "" {
		t.Errorf("printed:\n%s\nprinted again:\n%s", printed, again)
	}
	start(t, p)
	if _, err := os.Stat(p.socket); err != nil {
		t.Error(err)
	}
}
