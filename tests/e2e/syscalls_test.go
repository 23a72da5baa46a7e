package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"brokerd/tests/internal/harness"
)

const (
	million = 1_000_000
	// extraCallsMax is what a million more records may cost in system calls, of
	// both processes together. It leaves room for the Go runtime's own, which
	// go by time: its monitor sleeps and wakes about a hundred times a second.
	extraCallsMax = 1000
	// countTries bounds how often the pair of runs is repeated. What comes by
	// time is more on a busy machine; what comes by record never is less.
	countTries = 3
)

// TestRecordsCostNoSyscalls counts all system calls of a producer and a
// consumer that spin.
func TestRecordsCostNoSyscalls(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace (Debian package strace)")
	}
	if out, err := exec.Command(strace, "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("needs the right to trace processes: strace true: %v: %s", err, out)
	}
	var extra int
	for range countTries {
		one, two := countCalls(t, strace, million), countCalls(t, strace, 2*million)
		extra = two - one
		t.Logf("%d calls for 1,000,000 records, %d for 2,000,000: %d more", one, two, extra)
		if extra < extraCallsMax {
			return
		}
	}
	t.Errorf("a million more records cost %d more system calls, want fewer than %d", extra, extraCallsMax)
}

// countCalls returns how many system calls both processes made to move so many
// records.
func countCalls(t *testing.T, strace string, records int) int {
	t.Helper()
	p := newPlace(t, "[{name: md, capacity: 4MiB}]")
	d := p.Start()
	begin := time.Now()
	var counted [2]*harness.Process
	var files [2]string
	for i, role := range []string{"spinning consumer", "spinning producer"} {
		cmd := p.Role(role, strconv.Itoa(records))
		files[i] = filepath.Join(t.TempDir(), "calls")
		cmd.Path = strace
		cmd.Args = append([]string{"strace", "-f", "-c", "-o", files[i]}, cmd.Args...)
		counted[i] = harness.Launch(t, cmd)
		if i == 0 {
			counted[i].WaitSaid(sayAttached)
		}
	}
	calls := 0
	for i := range counted {
		counted[i].Expect(0)
		calls += totalCalls(t, files[i])
	}
	t.Logf("%d records: %v, %d calls", records, since(begin), calls)
	d.Kill()
	return calls
}

// totalCalls reads the last line of what strace -c writes: percent, seconds,
// microseconds a call, calls, errors if any, "total".
func totalCalls(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	fields := strings.Fields(lines[len(lines)-1])
	if len(fields) < 5 || fields[len(fields)-1] != "total" {
		t.Fatalf("strace wrote no total:\n%s", text)
	}
	calls, err := strconv.Atoi(fields[3])
	if err != nil {
		t.Fatalf("strace wrote %q: %v", lines[len(lines)-1], err)
	}
	return calls
}
