package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"brokerd/client"
)

const (
	// readyWait is how long a daemon may take to be ready.
	readyWait = 15 * time.Second
	// stopWait is how long it may take to stop; it promises 5 s.
	stopWait = 8 * time.Second
	// pollPause lies between two looks at something that is awaited.
	pollPause = 10 * time.Millisecond
)

// startDaemon starts brokerd at p and waits until it is ready.
func startDaemon(ctx context.Context, binary string, p place) (*process, error) {
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("the daemon: %w (make build makes it)", err)
	}
	log, err := p.openLog()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(binary, "--config", p.config())
	// Nothing that a service manager around the demo left in the environment.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = log, log
	daemon, err := start("brokerd", cmd)
	if err != nil {
		return nil, err
	}
	if err := awaitReady(ctx, daemon, p); err != nil {
		return nil, errors.Join(err, daemon.kill())
	}
	return daemon, nil
}

func awaitReady(ctx context.Context, daemon *process, p place) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWait, fmt.Errorf("brokerd is not ready after %v", readyWait))
	defer cancel()
	for {
		if isReady(ctx, p.socket()) {
			return nil
		}
		select {
		case <-daemon.ended:
			return fmt.Errorf("brokerd ended before it was ready: %v; its log:\n%s", daemon.err, p.logTail())
		default:
		}
		if err := sleep(ctx, pollPause); err != nil {
			return err
		}
	}
}

func isReady(ctx context.Context, socket string) bool {
	c, err := client.Dial(ctx, client.Options{Socket: socket})
	if err != nil {
		return false
	}
	defer c.Close()
	status, err := c.Status(ctx)
	return err == nil && status.State == client.DaemonReady
}

// stopDaemon asks the daemon to end as an operator would.
func stopDaemon(daemon *process) error {
	return daemon.stop(func() error { return daemon.cmd.Process.Signal(syscall.SIGTERM) }, stopWait)
}
