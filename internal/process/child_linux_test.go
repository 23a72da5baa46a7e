package process

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if os.Getenv("PROCESS_TEST_CHILD") != "" {
		_, _ = os.Stdin.Read(make([]byte, 1)) // until it ends
		return
	}
	goleak.VerifyTestMain(m)
}

// pidfds counts the pidfds that this process has open.
func pidfds(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if err == nil && (target == "anon_inode:[pidfd]" || strings.HasPrefix(target, "pidfd:")) {
			n++
		}
	}
	return n
}

// checkLeaks fails the test if it leaves a pidfd open. os/exec holds one for a
// child, until it is waited for.
func checkLeaks(t *testing.T) {
	t.Helper()
	before := pidfds(t)
	t.Cleanup(func() {
		if after := pidfds(t); after != before {
			t.Errorf("%d pidfds open, then %d", before, after)
		}
	})
}

type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	reaped bool
}

func start(t *testing.T) *child {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.Command(program)}
	c.cmd.Env = append(os.Environ(), "PROCESS_TEST_CHILD=1")
	if _, err := c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !c.reaped {
			c.kill()
			c.reap()
		}
	})
	return c
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// kill leaves a zombie.
func (c *child) kill() {
	c.t.Helper()
	if err := unix.Kill(c.pid(), unix.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
}

func (c *child) reap() {
	c.t.Helper()
	var exit *exec.ExitError
	if err := c.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	c.reaped = true
}

func open(t *testing.T, pid int) *Handle {
	t.Helper()
	h, err := Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// eventuallyParked waits until a goroutine waits in Go's poller for a pidfd.
func eventuallyParked(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		stacks := string(buf[:runtime.Stack(buf, true)])
		for stack := range strings.SplitSeq(stacks, "\n\n") {
			if strings.Contains(stack, "[IO wait]") && strings.Contains(stack, "(*Handle).Wait") {
				return
			}
		}
	}
	t.Fatal("nobody waits in the poller")
}
