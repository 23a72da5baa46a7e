package limits

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"brokerd/tests/internal/harness"
)

// TestStartWithFewFiles kills a daemon and starts the next one with too few
// descriptors, with one more each time until it is ready: each that is not says why
// and leaves the rings as they are.
func TestStartWithFewFiles(t *testing.T) {
	harness.NeedRoot(t, "to mount a tmpfs")
	s := startScene(t, "size=8m", mdRing, nil)
	s.exchange()
	s.Daemon.Kill()
	const fewest = 12 // the Go runtime needs some before brokerd begins
	refused := 0
	for most := fewest; ; most++ {
		if most > 200 {
			t.Fatal("it does not start with 200 descriptors")
		}
		d := s.startWithFiles(most)
		if d.Logged("ready") != nil {
			d.Kill() // it has none left to take anybody in
			break
		}
		refused++
		d.Expect(1)
		wantRefusedStart(t, most, d.Stderr.String())
		s.exchange()
	}
	s.Daemon = s.Place.Start()
	harness.WaitAttached(t, s.c, "witness", 2)
	s.exchange()
	s.healthy()
	if refused == 0 {
		t.Error("no start was refused")
	}
	fmt.Printf("counts: limits: %d starts with too few descriptors, each refused with a reason; the next one adopted all\n", refused)
}

// TestComeBackWithoutFiles: whoever was attached to the last daemon, and finds the
// next one without descriptors, is not lost but asks again.
func TestComeBackWithoutFiles(t *testing.T) {
	harness.NeedRoot(t, "to mount a tmpfs")
	s := startScene(t, "size=8m", mdRing, nil)
	reader := s.Ctl("attach", "md", "--as", "consumer")
	harness.WaitAttached(t, s.c, "md", 1)
	s.Publish("md", "zero\n")
	reader.WaitSaid("zero") // it knows that it is attached
	reader.Stop()
	s.Daemon.Kill()
	s.Daemon = s.Place.Start()
	harness.WaitAttached(t, s.c, "witness", 2)
	restore := leaveFiles(t, s.Daemon, 4) // for a connection, and not for the files of a ring
	reader.Resume()
	harness.Eventually(t, "it is refused", func() bool {
		return strings.Contains(s.Stderr.String(), "attach to ring md: brokerd may have") || strings.Contains(s.Stderr.String(), "connect: brokerd may have")
	})
	s.exchange()
	restore()
	harness.WaitAttached(t, s.c, "md", 1)
	s.Publish("md", "one\n")
	reader.WaitSaid("one")
	s.healthy()
}

// startWithFiles starts a daemon that may have so many files open, and waits until it
// is ready or gone.
func (s *scene) startWithFiles(most int) *harness.Daemon {
	s.t.Helper()
	limit := fmt.Sprintf("--nofile=%d:%d", most, most)
	d := &harness.Daemon{Process: harness.Launch(s.t, exec.Command("prlimit", limit, binaries.Brokerd, "--config", s.Place.Config)), Place: s.Place}
	harness.Eventually(s.t, "ready or gone", func() bool { return !d.Running() || d.Logged("ready") != nil })
	return d
}

func wantRefusedStart(t *testing.T, most int, text string) {
	t.Helper()
	if !strings.Contains(text, "open files") && !strings.Contains(text, "files open") {
		t.Errorf("with %d descriptors: the log does not say what is short:\n%s", most, text)
	}
	for _, word := range []string{"panic", "fatal error", "goroutine "} {
		if strings.Contains(text, word) {
			t.Errorf("with %d descriptors: the log has %q:\n%s", most, word, text)
		}
	}
}

// TestNoSpin: a daemon without a descriptor, at whose doors others wait, is idle.
func TestNoSpin(t *testing.T) {
	harness.NeedRoot(t, "to mount a tmpfs")
	s := startScene(t, "size=8m", mdRing, nil, gatewayYAML)
	restore := leaveFiles(t, s.Daemon, 0)
	if err := s.connect(); err == nil {
		t.Error("connected without a descriptor")
	}
	before, begin := s.cpu(), time.Now()
	if _, err := s.dialAfar(); err == nil { // waits for a second
		t.Error("connected over TCP without a descriptor")
	}
	share := (s.cpu() - before).Seconds() / time.Since(begin).Seconds()
	if share > 0.10 {
		t.Errorf("without descriptors the daemon uses %.0f%% of a core", 100*share)
	}
	if !strings.Contains(s.Stderr.String(), "connections cannot be accepted") {
		t.Error("the log does not say that the gateway accepts nobody")
	}
	s.exchange()
	restore()
	harness.Eventually(t, "others are let in again", func() bool { return s.connect() == nil && s.produceFromAfar() == nil })
	s.healthy()
	t.Logf("without descriptors the daemon used %.1f%% of a core", 100*share)
}

// cpu is the time that the daemon has computed so far.
func (s *scene) cpu() time.Duration {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID()))
	if err != nil {
		s.t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		s.t.Fatal(err)
	}
	const ticksPerSecond = 100
	return time.Duration(user+system) * time.Second / ticksPerSecond
}
