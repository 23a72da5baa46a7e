//go:build ringstep

package stepping

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"brokerd/internal/process"
)

// Patience bounds what a process may take between two lines.
const Patience = 30 * time.Second

// victim is the parent's view.
type victim struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	handle *process.Handle
	guard  *time.Timer
	exited bool
	said   strings.Builder // what it complains of
}

func start(op string, one run, dir string) (*victim, error) {
	v := &victim{cmd: exec.Command("/proc/self/exe")}
	v.cmd.Env = []string{fmt.Sprintf("%s=%s %d %d %d %s", Env, strings.ReplaceAll(op, " ", "_"), one.round, one.k, one.mode, dir), "GOMAXPROCS=1"}
	v.cmd.Stderr = &v.said
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL} // a stopped one would stay when this process dies
	in, err := v.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	v.in, v.out = in, bufio.NewReader(out)
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	v.guard = time.AfterFunc(Patience, func() { _ = v.cmd.Process.Kill() })
	if v.handle, err = process.Open(v.cmd.Process.Pid); err != nil {
		return nil, errors.Join(err, v.end())
	}
	return v, nil
}

func (v *victim) say(word string, numbers ...uint64) error {
	return tell(v.in, word, numbers...)
}

// hear waits for a line. A process that fails instead says why on its standard error.
func (v *victim) hear(word string) ([]uint64, error) {
	n, err := listen(v.out, word)
	if err != nil {
		err = errors.Join(err, v.reap())
	}
	return n, err
}

// hearWhile is hear by a parent that has something to do meanwhile.
func (v *victim) hearWhile(word string, idle func() error) (said []uint64, err error) {
	heard := make(chan struct{})
	go func() {
		said, err = v.hear(word)
		close(heard)
	}()
	for {
		select {
		case <-heard:
			return said, err
		case <-time.After(Idle):
		}
		if fail := idle(); fail != nil {
			_ = v.cmd.Process.Kill()
			<-heard
			return nil, fail
		}
	}
}

// Idle is how long a process that polls waits.
const Idle = time.Millisecond

// await waits until the process is stopped or gone, and reaps nothing.
func (v *victim) await() (code int32, err error) {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, v.cmd.Process.Pid, &info, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return info.Code, err
		}
	}
}

const (
	cldKilled  = 2 // CLD_KILLED
	cldStopped = 5 // CLD_STOPPED
)

func (v *victim) awaitStopped() error {
	code, err := v.await()
	if err != nil || code != cldStopped {
		return errors.Join(err, fmt.Errorf("it was to stop, code %d", code), v.reap())
	}
	if v.handle.Exited() {
		return errors.New("a stopped process is taken for a dead one")
	}
	return nil
}

// awaitKilled waits for a death by the process's own hand.
func (v *victim) awaitKilled() error {
	code, err := v.await()
	if err == nil && code == cldKilled && v.guard.Stop() && v.handle.Exited() {
		err = v.reap()
		if status, ok := v.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signal() == unix.SIGKILL && v.said.Len() == 0 {
			return nil // err is that it was killed
		}
	}
	return errors.Join(err, fmt.Errorf("it was to die by a signal, code %d", code), v.reap())
}

func (v *victim) wake() error { return v.cmd.Process.Signal(unix.SIGCONT) }

// reap waits for the end of the process and says what was wrong with it.
func (v *victim) reap() error {
	if v.exited {
		return nil
	}
	v.exited = true
	err := v.cmd.Wait()
	if text := v.said.String(); text != "" {
		err = errors.Join(err, errors.New(strings.TrimSpace(text)))
	}
	return err
}

// end is what comes last in every case.
func (v *victim) end() (err error) {
	v.guard.Stop()
	if !v.exited {
		_ = v.cmd.Process.Kill()
		_ = v.reap() // killed: that is the error
	}
	if v.handle != nil {
		err = v.handle.Close()
	}
	return err
}
