package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"brokerd/client"
)

// host is one brokerd, with a folder of its own.
type host struct {
	b            *bench
	name, core   string
	dir, address string
	cmd          *exec.Cmd
	log          bytes.Buffer
}

// newHost makes a brokerd's folder and picks its port.
func (b *bench) newHost(name, core string) (*host, error) {
	dir, err := os.MkdirTemp(b.dir, name+"-")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return &host{b: b, name: name, core: core, dir: dir, address: l.Addr().String()}, nil
}

func (h *host) socket() string { return filepath.Join(h.dir, "control.sock") }

// tls is the value of gateway.tls.
func (h *host) tls(on bool) string {
	if !on {
		return "off"
	}
	return fmt.Sprintf("{cert: %[1]s/%[2]s.pem, key: %[1]s/%[2]s-key.pem, ca: %[1]s/ca.pem}", h.b.certs, h.name)
}

// start runs the daemon with this configuration behind the keys of its place, and waits until it is ready.
func (h *host) start(ctx context.Context, configuration string) error {
	path := filepath.Join(h.dir, "brokerd.yaml")
	text := fmt.Sprintf("dir: %s/rings\ncontrol: {socket: %s}\nlimits: {memory: 8GiB, rings: 1024}\nlog: {level: warn}\n%s", h.dir, h.socket(), configuration)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	h.log.Reset()
	h.cmd = exec.CommandContext(ctx, "taskset", "-c", h.core, filepath.Join(h.b.bin, "brokerd"), "--config", path)
	h.cmd.Stdout, h.cmd.Stderr = &h.log, &h.log
	if err := h.cmd.Start(); err != nil {
		return err
	}
	until := time.Now().Add(20 * time.Second)
	for time.Now().Before(until) {
		c, err := client.Dial(ctx, client.Options{Socket: h.socket(), WaitFor: 10 * time.Second})
		if err != nil {
			return fmt.Errorf("%s: %w: %s", h.name, err, h.log.String())
		}
		status, err := c.Status(ctx)
		_ = c.Close() // nothing was attached
		if err == nil && status.State == client.DaemonReady {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%s is not ready: %s", h.name, h.log.String())
}

// stop ends the daemon in order.
func (h *host) stop() error {
	if h.cmd == nil {
		return nil
	}
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := h.cmd.Wait()
	h.cmd = nil
	if err != nil {
		return fmt.Errorf("%s: %w: %s", h.name, err, h.log.String())
	}
	return nil
}

// pid of brokerd itself, which taskset has become.
func (h *host) pid() int { return h.cmd.Process.Pid }

// remove ends the daemon and deletes its rings.
func (h *host) remove() { _ = errors.Join(h.stop(), os.RemoveAll(h.dir)) } // the figure is taken by then

// hosts are the two daemons of a case: a has the ring, z is named b and mirrors it.
type hosts struct{ a, z *host }

// newHosts makes both, or none. They have to be started.
func (b *bench) newHosts() (hosts, error) {
	a, err := b.newHost("a", "0")
	if err != nil {
		return hosts{}, err
	}
	z, err := b.newHost("b", "1")
	if err != nil {
		a.remove()
		return hosts{}, err
	}
	return hosts{a, z}, nil
}

// done removes both, if they were made.
func (h *hosts) done() {
	if h.a != nil {
		h.a.remove()
		h.z.remove()
		*h = hosts{}
	}
}

// waitPosition waits until a ring exists and has come to a position. seen is told each position.
func waitPosition(ctx context.Context, c *client.Client, ring string, end uint64, seen func(uint64)) error {
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(time.Millisecond) {
		s, err := c.Stats(ctx, ring)
		if errors.Is(err, client.ErrRingNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		at := s.Rings[0].Position
		seen(at)
		if at >= end {
			return nil
		}
	}
	return fmt.Errorf("ring %s has not come to position %d in a minute", ring, end)
}
