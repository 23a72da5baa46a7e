package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// process is one program that the demo has started. One goroutine waits for it,
// which stop joins.
type process struct {
	what  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it is gone
	err   error         // of Wait; read after ended
}

// start starts cmd in a process group of its own, so that Ctrl-C reaches the
// demo alone, which then ends all others in order. Should the demo itself be
// killed with -9, the kernel ends them.
func start(what string, cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", what, err)
	}
	p := &process{what: what, cmd: cmd, ended: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends it with -9 and waits until it is gone.
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-p.ended
	return err
}

// stop asks it to end and waits, at most for patience; then it is killed. An
// exit code other than 0 is an error.
func (p *process) stop(ask func() error, patience time.Duration) error {
	asked := ask()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		return errors.Join(asked, p.kill(), fmt.Errorf("%s did not end within %v and was killed", p.what, patience))
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.what, p.err)
	}
	return nil
}
