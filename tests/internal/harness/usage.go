package harness

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Usage is what a process has of the kernel.
type Usage struct {
	Files, Threads, Maps int
	ResidentBytes        int64 // its own memory and what it has touched of mapped rings
	OwnBytes             int64 // of that, its own
}

// UsageOf asks the kernel about a process that runs.
func UsageOf(t testing.TB, pid int) Usage {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", pid)
	files, err := os.ReadDir(proc + "fd")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile(proc + "maps")
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		t.Fatal(err)
	}
	u := Usage{Files: len(files), Maps: bytes.Count(maps, []byte("\n"))}
	for line := range strings.Lines(string(status)) {
		var n int64
		key, value, _ := strings.Cut(line, ":")
		if _, err := fmt.Sscan(value, &n); err != nil {
			continue
		}
		switch key {
		case "Threads":
			u.Threads = int(n)
		case "VmRSS":
			u.ResidentBytes = n << 10
		case "RssAnon":
			u.OwnBytes = n << 10
		}
	}
	return u
}

// MemoryPeak is the most memory that a process has had, in bytes.
func MemoryPeak(t testing.TB, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "VmHWM:")
	number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	kib, err := strconv.Atoi(number)
	if !found || err != nil {
		t.Fatalf("no VmHWM in %q: %v", text, err)
	}
	return kib << 10
}
