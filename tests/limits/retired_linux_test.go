package limits

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestRetiredOnAFullTmpfs: garbage is found in a ring whose successor has no room.
// Others go on, and the successor is there once there is room.
func TestRetiredOnAFullTmpfs(t *testing.T) {
	harness.NeedRoot(t, "to mount a tmpfs and to damage a ring")
	for what, fill := range shortages() {
		t.Run(what, func(t *testing.T) {
			s := startScene(t, "size=2m,nr_inodes=200", mdRing, nil)
			old := s.describe("md").Epoch
			_, err := s.attach() // so that the daemon looks at it
			s.must(err)
			fill(s.fs)
			s.damage("md")
			harness.Eventually(t, "the log tells of the garbage", func() bool { return s.Logged("retired") != nil })
			s.exchange()
			harness.Eventually(t, "the client is told what the successor waits for", func() bool {
				_, err = s.attach()
				return err == nil || strings.Contains(err.Error(), "then it gets its successor by itself")
			})
			if !errors.Is(err, client.ErrRingCorrupt) {
				t.Fatalf("attached to a ring that holds garbage: %v, want %v", err, client.ErrRingCorrupt)
			}
			wantWords(t, "the client was told", err.Error(), []string{"ring md is retired", "has no successor yet", "the tmpfs", "enlarge the tmpfs"})
			s.exchange()
			s.fs.drain()
			harness.Eventually(t, "its successor is there", func() bool { _, err = s.attach(); return err == nil })
			if now := s.describe("md").Epoch; now == old {
				t.Errorf("the successor has the epoch of the ring that it follows, %d", now)
			}
			s.exchange()
		})
	}
}

// damage overwrites what the producers of a ring share.
func (s *scene) damage(ring string) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.Dir, ring, "data"), os.O_RDWR, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	garbage := make([]byte, 12<<10)
	for i := range garbage {
		garbage[i] = 0xa5
	}
	if _, err := f.WriteAt(garbage, 4<<10); err != nil {
		s.t.Fatal(err)
	}
}
