package limits

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// squeeze changes a limit of a daemon that runs, and returns what puts it back.
func squeeze(t testing.TB, d *harness.Daemon, resource int, most uint64) (restore func()) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Prlimit(d.PID(), resource, nil, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(d.PID(), resource, &unix.Rlimit{Cur: most, Max: before.Max}, nil); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Prlimit(d.PID(), resource, &before, nil); err != nil {
			t.Error(err)
		}
	}
}

// leaveFiles lets a daemon open so many files more. What it has open stays.
func leaveFiles(t testing.TB, d *harness.Daemon, more int) (restore func()) {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.PID()))
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]bool{}
	for _, e := range entries {
		open[e.Name()] = true
	}
	most := 0
	for free := 0; ; most++ {
		if open[fmt.Sprint(most)] {
			continue
		}
		if free == more {
			break
		}
		free++
	}
	return squeeze(t, d, unix.RLIMIT_NOFILE, uint64(most))
}

// leaveSpace lets a daemon map so many bytes more.
func leaveSpace(t testing.TB, d *harness.Daemon, more uint64) (restore func()) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", d.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var pages uint64
	if _, err := fmt.Sscan(string(text), &pages); err != nil {
		t.Fatal(err)
	}
	return squeeze(t, d, unix.RLIMIT_AS, pages*uint64(os.Getpagesize())+more)
}

// ofDescriptors are calls for which the daemon has no descriptor.
func ofDescriptors() []limit {
	const series = "brokerd_refusals_total{limit=open_files}"
	leave := func(n int) func(*scene) {
		return func(s *scene) { s.undo = leaveFiles(s.t, s.Daemon, n) }
	}
	says := func(doing string) []string {
		return []string{doing + ": brokerd may have ", " files open (RLIMIT_NOFILE), which is not enough", "raise LimitNOFILE of its unit (ulimit -n) and restart it"}
	}
	return []limit{
		{name: "open_files", is: client.ErrLimitExceeded, says: says("attach to ring md"), reach: leave(0),
			past: func(s *scene) error { _, err := s.attach(); return err }},
		{name: "open_files for a producer", series: series, is: client.ErrLimitExceeded, says: says("attach to ring md"), reach: leave(10),
			past: func(s *scene) error { _, err := s.produce(); return err }},
		{name: "open_files for a ring", series: series, is: client.ErrLimitExceeded, says: says("create ring more"), reach: leave(10),
			past: func(s *scene) error { return s.create("more") }},
		{name: "open_files for a reload", series: series, is: client.ErrLimitExceeded, says: says("Reload"), reach: leave(0),
			past: func(s *scene) error { return s.reload() }},
		{name: "open_files for a connection", series: series, is: client.ErrLimitExceeded, says: says("connect"), reach: leave(0),
			past: func(s *scene) error { return s.connect() }},
		{name: "open_files for the process that connects", series: series, is: client.ErrLimitExceeded, says: says("connect"), reach: leave(1),
			past: func(s *scene) error { return s.connect() }},
		{name: "open_files for a client on another host", series: series, more: gatewayYAML, says: []string{"attach to ring md: brokerd may have "}, reach: leave(4),
			past: func(s *scene) error { return s.produceFromAfar() }},
	}
}
