package harness

import (
	"bytes"
	"fmt"
	"os"
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
