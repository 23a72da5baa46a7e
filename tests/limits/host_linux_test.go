package limits

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// ofHost is what the host, or the kernel, does not give.
func ofHost() []limit {
	return []limit{
		{name: "host_memory", inside: withMemory, is: client.ErrNoSpace,
			says: []string{"ring more: 217088 bytes wanted, and the host has 216064 bytes of memory left", "remove rings"},
			reach: func(s *scene) { // a KiB short of what a ring takes: the kernel counts in KiB
				s.memory(217088>>10 - 1)
				s.undo = func() { s.memory(217088 >> 10) }
			},
			past: func(s *scene) error { return s.create("more") }},
		{name: "address space", series: "brokerd_refusals_total{limit=host_memory}", is: client.ErrNoSpace,
			says: []string{"create ring huge: the kernel gives brokerd no more memory", "RLIMIT_AS"},
			reach: func(s *scene) {
				s.undo = leaveSpace(s.t, s.Daemon, 30<<20) // not for the ring, but for what the runtime takes meanwhile
			},
			past: func(s *scene) error {
				_, err := s.c.CreateRing(harness.Bounded(s.t), client.RingSpec{Name: "huge", Capacity: 32 << 20})
				return err
			}},
	}
}

// withMemory runs a daemon where /proc/meminfo is a file of the test's, which says
// that so many KiB are available. Swap, if the host has some, is read elsewhere.
func withMemory(t *testing.T) (command []string, set func(kib uint64)) {
	path := filepath.Join(t.TempDir(), "meminfo")
	set = func(kib uint64) {
		if err := os.WriteFile(path, fmt.Appendf(nil, "MemTotal: 99999999 kB\nMemAvailable: %d kB\n", kib), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	set(1 << 30)
	script := fmt.Sprintf("mount --bind %s /proc/meminfo && exec \"$@\"", path)
	return []string{"unshare", "--mount", "sh", "-c", script, "sh"}, set
}
