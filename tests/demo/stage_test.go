package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
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
