package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

// patience bounds every wait. It is generous: the machine may be busy.
const patience = 40 * time.Second

// built is the folder of demo and brokerd, made by TestMain.
var built string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "brokerd-binary-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	built = dir
	build := exec.Command("go", "build", "-o", dir+"/", "brokerd/cmd/brokerd", "brokerd/tests/demo")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// stage is one demo under test, with a temporary folder of its own.
type stage struct {
	t      *testing.T
	cmd    *exec.Cmd
	tmp    string
	shm    string        // once known
	stdout *os.File      // our end
	ended  chan struct{} // closed when it is gone

	mu  sync.Mutex
	out bytes.Buffer
	err bytes.Buffer // read after ended
}

// newStage starts the demo as `make demo` does, at ten times the recorded pace.
func newStage(t *testing.T, args ...string) *stage {
	t.Helper()
	tmp, err := os.MkdirTemp("", "bt-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, tmp: tmp, stdout: ours, ended: make(chan struct{})}
	args = append([]string{"--brokerd", filepath.Join(built, "brokerd"), "--factor", "10"}, args...)
	s.cmd = exec.Command(filepath.Join(built, "demo"), args...)
	s.cmd.Dir = "../.."
	s.cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	s.cmd.Stdout, s.cmd.Stderr = theirs, &s.err
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a job, as under a shell
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	go func() {
		_ = s.cmd.Wait() // the exit code is in ProcessState
		close(s.ended)
	}()
	go s.read()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.ended
		ours.Close()
		if t.Failed() {
			t.Logf("stdout:\n%s\nstderr:\n%s", s.text(), &s.err)
		}
		os.RemoveAll(tmp)
		if s.shm != "" {
			os.RemoveAll(s.shm)
		}
	})
	s.eventually("folder", func() bool {
		made, err := filepath.Glob(filepath.Join(tmp, "brokerd-demo-*"))
		if err == nil && len(made) == 1 {
			s.shm = filepath.Join("/dev/shm", filepath.Base(made[0]))
		}
		return s.shm != "" || s.over()
	})
	return s
}

// read copies what the demo writes until it or somebody closes the pipe.
func (s *stage) read() {
	buf := make([]byte, 4096)
	for {
		n, err := s.stdout.Read(buf)
		s.mu.Lock()
		s.out.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *stage) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

func (s *stage) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

func (s *stage) eventually(what string, done func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// saw waits until the demo has printed something that matches.
func (s *stage) saw(pattern string) []string {
	s.t.Helper()
	var found []string
	s.eventually(pattern, func() bool {
		if found = regexp.MustCompile(pattern).FindStringSubmatch(s.text()); found == nil && s.over() {
			s.t.Fatalf("the demo ended and did not print %q", pattern)
		}
		return found != nil
	})
	return found
}

// wait returns the exit code; -1 after a signal that was not caught.
func (s *stage) wait() int {
	s.t.Helper()
	s.eventually("end of the demo", s.over)
	return s.cmd.ProcessState.ExitCode()
}

// processes are the pids of those that the demo started: all have a path below
// its temporary folder among their arguments.
func (s *stage) processes() (pids []string) {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(all) == 0 {
		s.t.Fatalf("no processes are to be seen: %v", err)
	}
	for _, path := range all {
		line, err := os.ReadFile(path) // it may have gone meanwhile
		if err == nil && bytes.Contains(line, []byte(s.tmp)) {
			pids = append(pids, strings.Split(path, "/")[2])
		}
	}
	return pids
}

// nothingLeft fails the test if processes, folders or rings are still there.
func (s *stage) nothingLeft() {
	s.t.Helper()
	if pids := s.processes(); len(pids) > 0 {
		s.t.Errorf("processes are left: %v", pids)
	}
	entries, err := os.ReadDir(s.tmp)
	if err != nil || len(entries) > 0 {
		s.t.Errorf("left in the temporary folder: %v, %v", entries, err)
	}
	if _, err := os.Lstat(s.shm); s.shm == "" || !errors.Is(err, os.ErrNotExist) {
		s.t.Errorf("left: %q, %v", s.shm, err)
	}
}

func TestDemo(t *testing.T) {
	s := newStage(t)
	if code := s.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	s.nothingLeft()
	text := s.text()
	if s.err.Len() > 0 {
		t.Errorf("stderr: %s", &s.err)
	}
	for _, pattern := range []string{
		`(?m)^ +[1-9]\.\d s  book +\d+ +\d+ +\d+ us +\d.* 0  6\d{4}\.\d\d / 6\d{4}\.\d\d$`,
		`(?m)^ +slow +\d+ +\d+ .* [1-9]\d*  demoted$`,
		`\* slow is demoted`,
		`\* kill -9 brokerd \(pid \d+\)`,
		`without a daemon book got [1-9]\d* records`,
		`brokerd \(pid \d+\) is back`,
		`(?m)^ok +book got 8000 of 8000, missed 0; sha256`,
		`(?m)^ok +skip got \d+ \+ missed \d+ = sequence 8000$`,
		`(?m)^ok +slow was demoted at \d+\.\d s; got \d+ \+ missed [1-9]\d* = sequence 8000$`,
		`(?m)^ok +all 4 attachments were the same`,
		`(?m)^ok +nothing is left behind`,
	} {
		if !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("nothing matches %q", pattern)
		}
	}
	if strings.Contains(text, "FAILED") || strings.Contains(text, "\x1b") {
		t.Error("a failed check, or colours, in what goes into a pipe")
	}
	for line := range strings.Lines(text) {
		if utf8.RuneCountInString(strings.TrimSuffix(line, "\n")) > 80 {
			t.Errorf("more than 80 columns: %q", line)
		}
	}
	hashes := regexp.MustCompile(`(?m)^ +([0-9a-f]{64})$`).FindAllStringSubmatch(text, -1)
	if len(hashes) != 2 || hashes[0][1] != hashes[1][1] {
		t.Errorf("hashes: %v", hashes)
	}
}

func TestSignals(t *testing.T) {
	for name, c := range map[string]struct {
		signal syscall.Signal
		at     string // what the demo has printed by then
	}{
		"at once":           {syscall.SIGINT, ``},
		"before the start":  {syscall.SIGINT, `bid / ask`},
		"feed":              {syscall.SIGTERM, `\n +1\.\d s  book`},
		"without a daemon":  {syscall.SIGINT, `kill -9 brokerd`},
		"daemon comes back": {syscall.SIGINT, `now brokerd is started again`},
		"reader looks away": {syscall.SIGHUP, `skip looks away`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.saw(c.at)
			if err := syscall.Kill(-s.cmd.Process.Pid, c.signal); err != nil {
				t.Fatal(err)
			}
			if code := s.wait(); code != exitInterrupted {
				t.Errorf("exit code %d", code)
			}
			s.nothingLeft()
			if want := "demo: interrupted: " + c.signal.String(); !strings.HasPrefix(s.err.String(), want) {
				t.Errorf("stderr %q, want %q", &s.err, want)
			}
		})
	}
}

func TestClosedOutput(t *testing.T) {
	s := newStage(t)
	s.saw(`\n +1\.\d s  book`)
	s.stdout.Close()
	if code := s.wait(); code != exitInterrupted {
		t.Errorf("exit code %d", code)
	}
	s.nothingLeft()
}

func TestKilled(t *testing.T) {
	s := newStage(t)
	s.saw(`bid / ask`)
	if pids := s.processes(); len(pids) != 4 {
		t.Fatalf("processes %v, want the daemon and three readers", pids)
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.wait()
	s.eventually("all processes gone", func() bool { return len(s.processes()) == 0 })
}

func TestFailures(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		victim string // pattern with the pid of a process that somebody kills
		stderr string
	}{
		"no daemon":        {args: []string{"--brokerd", "/absent"}, stderr: `demo: failed: the daemon: stat /absent: .* \(make build makes it\)`},
		"daemon won't run": {args: []string{"--brokerd", "/bin/false"}, stderr: `brokerd ended before it was ready: exit status 1`},
		"daemon dies":      {victim: `brokerd +pid (\d+)`, stderr: `demo: failed: brokerd has ended by itself: signal: killed`},
		"reader dies":      {victim: `slow +pid (\d+)`, stderr: `demo: failed: reader slow has ended`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, c.args...)
			if c.victim != "" {
				pid, _ := strconv.Atoi(s.saw(c.victim)[1])
				s.saw(`\n +1\.\d s  book`)
				if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
			if code := s.wait(); code != exitFailed {
				t.Errorf("exit code %d", code)
			}
			if s.shm == "" {
				s.shm = "/dev/shm/brokerd-demo-gone-before-it-was-seen"
			}
			s.nothingLeft()
			if !regexp.MustCompile(c.stderr).Match(s.err.Bytes()) {
				t.Errorf("stderr %q does not match %q", &s.err, c.stderr)
			}
		})
	}
}

func TestKeep(t *testing.T) {
	s := newStage(t, "--keep")
	s.saw(`bid / ask`)
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	s.wait()
	if pids := s.processes(); len(pids) > 0 {
		t.Errorf("processes are left: %v", pids)
	}
	kept := filepath.Join(s.tmp, filepath.Base(s.shm))
	for _, path := range []string{filepath.Join(kept, "log"), filepath.Join(kept, "brokerd.yaml"), filepath.Join(s.shm, ringName, "data")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(s.text(), kept) {
		t.Error("what is kept is not named")
	}
}

// A feed too short to fill the ring demotes nobody: the demo must not pass.
func TestBrokenPromise(t *testing.T) {
	path := filepath.Join(t.TempDir(), "feed.gz")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	packed := gzip.NewWriter(file)
	for i := range 200 {
		fmt.Fprintf(packed, "%d {}\n", time.Duration(i)*100*time.Millisecond)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	s := newStage(t, "--feed", path)
	if code := s.wait(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	s.nothingLeft()
	s.saw(`FAILED +slow was not demoted; got 200 \+ missed 0 = sequence 200`)
	s.saw(`ok +book got 200 of 200`)
	if want := "demo: failed: " + errNotHeld.Error(); !strings.HasPrefix(s.err.String(), want) {
		t.Errorf("stderr %q, want %q", &s.err, want)
	}
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"--factor 11":   "--factor 11: want 0.1 to 10",
		"--factor 0.09": "--factor 0.09: want 0.1 to 10",
		"--factor NaN":  "--factor NaN: want 0.1 to 10",
		"--fast":        "not defined: -fast; --help lists the flags",
		"feed":          `argument "feed" is not expected; --help lists the flags`,
	} {
		cmd := exec.Command(filepath.Join(built, "demo"), strings.Fields(args)...)
		var stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = io.Discard, &stderr
		_ = cmd.Run() // the exit code is in ProcessState
		if code := cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: exit code %d, stderr %q", args, code, &stderr)
		}
	}
	help, err := exec.Command(filepath.Join(built, "demo"), "--help").Output()
	if err != nil || !bytes.Contains(help, []byte("-factor")) {
		t.Errorf("--help: %v, %s", err, help)
	}
}
