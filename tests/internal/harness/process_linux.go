package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is a started program. Its output is collected, unless its stdout goes
// elsewhere.
type Process struct {
	T      testing.TB
	Cmd    *exec.Cmd
	Stdout *Output
	Stderr *Output
	Ended  chan struct{} // closed when it is gone and its output is complete
	Err    error         // of Wait; read after Ended
}

// Output is what a process has written so far. It is safe for concurrent use.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String is all of it.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// Launch starts a program. The test ends it, and so does the death of the test
// binary.
func Launch(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{T: t, Cmd: cmd, Stdout: &Output{}, Stderr: &Output{}, Ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.Stdout
	}
	cmd.Stderr = p.Stderr
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %q: %v", cmd.Args, err)
	}
	go func() {
		p.Err = cmd.Wait()
		close(p.Ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("stderr of pid %d, %q:\n%s", p.PID(), cmd.Args, p.Stderr)
		}
	})
	return p
}

// PID is the process's number.
func (p *Process) PID() int { return p.Cmd.Process.Pid }

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) {
	p.T.Helper()
	if err := p.Cmd.Process.Signal(s); err != nil {
		p.T.Fatalf("signal %v to %q: %v", s, p.Cmd.Args, err)
	}
}

// Stop stops it, and returns when it has stopped: a signal takes a while to
// reach a thread that runs on another core.
func (p *Process) Stop() {
	p.T.Helper()
	p.Signal(syscall.SIGSTOP)
	Eventually(p.T, fmt.Sprintf("pid %d stops", p.PID()), func() bool {
		stopped, err := Stopped(p.PID())
		if err != nil {
			p.T.Fatal(err)
		}
		return stopped
	})
}

// Stopped tells whether all threads of a process have stopped.
func Stopped(pid int) (bool, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(tasks) == 0 {
		return false, fmt.Errorf("the threads of pid %d: %v, %w", pid, tasks, errors.Join(err, fs.ErrNotExist))
	}
	return !slices.ContainsFunc(tasks, func(path string) bool {
		text, err := os.ReadFile(path)
		_, state, _ := bytes.Cut(text, []byte(") "))
		return err == nil && !bytes.HasPrefix(state, []byte("T"))
	}), nil
}

// Resume lets it go on.
func (p *Process) Resume() {
	p.T.Helper()
	p.Signal(syscall.SIGCONT)
}

// Kill ends it as kill -9 does. It may be gone already.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Signal(syscall.SIGKILL)
	<-p.Ended
}

// Running tells whether it has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.Ended:
		return false
	default:
		return true
	}
}

// WaitSaid waits until it has printed text on its stdout.
func (p *Process) WaitSaid(text string) {
	p.T.Helper()
	Eventually(p.T, fmt.Sprintf("%q of %q", text, p.Cmd.Args), func() bool {
		if !p.Running() && !strings.Contains(p.Stdout.String(), text) {
			p.T.Fatalf("%q ended early: %v\n%s", p.Cmd.Args, p.Err, p.Stderr)
		}
		return strings.Contains(p.Stdout.String(), text)
	})
}

// Wait returns the exit code once it is gone; -1 after a signal.
func (p *Process) Wait() int {
	p.T.Helper()
	select {
	case <-p.Ended:
	case <-time.After(Patience):
		p.T.Fatalf("%q has not ended within %v; stderr:\n%s", p.Cmd.Args, Patience, p.Stderr)
	}
	var exit *exec.ExitError
	if p.Err != nil && !errors.As(p.Err, &exit) {
		p.T.Fatalf("%q: %v", p.Cmd.Args, p.Err)
	}
	return p.Cmd.ProcessState.ExitCode()
}

// Expect waits for the end with that exit code.
func (p *Process) Expect(code int) {
	p.T.Helper()
	if got := p.Wait(); got != code {
		p.T.Fatalf("%q: exit code %d, want %d; stderr:\n%s", p.Cmd.Args, got, code, p.Stderr)
	}
}

// AsUser makes a program run as somebody else, who is in no group but gid.
func AsUser(cmd *exec.Cmd, uid, gid uint32) *exec.Cmd {
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	return cmd
}
