package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"brokerd/client"
)

// bench is what all cases share.
type bench struct {
	dir      string // on tmpfs
	bin      string // folder of brokerd and brokerctl
	certs    string // folder of ca.pem, a.pem, a-key.pem, b.pem, b-key.pem
	sizes    sizes
	progress io.Writer
}

// sizes are how much each case moves.
type sizes struct {
	capacity, bytes uint64 // of the mirrored ring, and of one run through it
	messages        int    // of a latency run
	gapNanos        int64  // between two of them
	records         int    // of a rate run
	clients         int    // idle
	links           int
}

func newBench(ctx context.Context, dir string, quick bool, progress io.Writer) (*bench, error) {
	b := &bench{dir: dir, bin: filepath.Join(dir, "bin"), certs: filepath.Join(dir, "certs"), progress: progress}
	b.sizes = sizes{capacity: 256 << 20, bytes: 192 << 20, messages: 3000, gapNanos: 1e6, records: 3e6, clients: 10000, links: 100}
	if quick {
		b.sizes = sizes{capacity: 16 << 20, bytes: 12 << 20, messages: 200, gapNanos: 1e6, records: 100000, clients: 200, links: 10}
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.bin+"/", "./cmd/brokerd", "./cmd/brokerctl")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build brokerd: %w: %s", err, text)
	}
	for _, args := range [][]string{{"pki", "init", "--dir", b.certs}, {"pki", "issue", "a", "--dir", b.certs}, {"pki", "issue", "b", "--dir", b.certs}} {
		if text, err := exec.CommandContext(ctx, filepath.Join(b.bin, "brokerctl"), args...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("brokerctl %s: %w: %s", strings.Join(args, " "), err, text)
		}
	}
	return b, nil
}

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

// remove ends the daemon and deletes its rings.
func (h *host) remove() { _ = errors.Join(h.stop(), os.RemoveAll(h.dir)) } // the figure is taken by then

// ring is a ring of the configuration.
func (b *bench) ring(name string, capacity uint64, timestamps bool) string {
	return fmt.Sprintf("  - {name: %s, capacity: %dB, policy: block, timestamps: %t, allow: {produce: {users: [root]}, consume: {users: [root]}, gate: {users: [root]}}}\n", name, capacity, timestamps)
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
		if at := s.Rings[0].Position; at >= end {
			seen(at)
			return nil
		} else {
			seen(at)
		}
	}
	return fmt.Errorf("ring %s has not come to position %d in a minute", ring, end)
}
