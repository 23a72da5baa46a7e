package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"brokerd/internal/wire"
)

// idle is what connected clients cost the daemon that do nothing.
type idle struct {
	b   *bench
	tls bool
}

// idleTime is how long wake-ups are counted.
const idleTime = 3 * time.Second

// start runs the daemon that they connect to.
func (i *idle) start(ctx context.Context) (*host, error) {
	h, err := i.b.newHost("a", "0")
	if err != nil {
		return nil, err
	}
	gateway := fmt.Sprintf("gateway:\n  name: a\n  listen: %s\n  tls: %s\n  peers: [{name: b}]\n", h.address, h.tls(i.tls))
	if err := h.start(ctx, gateway+"rings:\n"+i.b.ring("feed", 1<<20, true)); err != nil {
		h.remove()
		return nil, err
	}
	return h, nil
}

// bytesEach is the growth of the daemon's resident memory for each idle client.
func (i *idle) bytesEach(ctx context.Context) (float64, error) {
	h, err := i.start(ctx)
	if err != nil {
		return 0, err
	}
	defer h.remove()
	var open clients
	defer func() { open.close() }()
	if err := i.connect(h, &open, i.b.sizes.clients/10); err != nil { // so that what is allocated once does not count
		return 0, err
	}
	before, err := resident(h.pid())
	if err == nil {
		err = i.connect(h, &open, i.b.sizes.clients)
	}
	if err != nil {
		return 0, err
	}
	time.Sleep(time.Second) // whatever is still under way
	after, err := resident(h.pid())
	return float64(after-before) / float64(i.b.sizes.clients), err
}

// wakes is how often the daemon's threads wake a second while all clients are idle.
func (i *idle) wakes(ctx context.Context) (float64, error) {
	return i.wakesWith(ctx, i.b.sizes.clients)
}

// wakesAlone is the same without clients: the daemon's own clocks and those of its runtime.
func (i *idle) wakesAlone(ctx context.Context) (float64, error) { return i.wakesWith(ctx, 0) }

func (i *idle) wakesWith(ctx context.Context, count int) (float64, error) {
	h, err := i.start(ctx)
	if err != nil {
		return 0, err
	}
	defer h.remove()
	var open clients
	defer func() { open.close() }()
	if err := i.connect(h, &open, count); err != nil {
		return 0, err
	}
	time.Sleep(time.Second) // whatever is still under way
	return wakesOf(h.pid())
}

// wakesOf is how often the threads of a process wake a second.
func wakesOf(pid int) (float64, error) {
	before, err := voluntarySwitches(pid)
	if err != nil {
		return 0, err
	}
	time.Sleep(idleTime)
	after, err := voluntarySwitches(pid)
	return float64(after-before) / idleTime.Seconds(), err
}

// clients are connections that stay open.
type clients []net.Conn

func (c clients) close() {
	for _, conn := range c {
		_ = conn.Close()
	}
}

// connect adds count clients, each of which has been welcomed.
func (i *idle) connect(h *host, open *clients, count int) error {
	config, err := i.config()
	if err != nil {
		return err
	}
	for n := range count {
		c, err := greet(h.address, config)
		if err != nil {
			return fmt.Errorf("client %d: %w: %s", n, err, h.log.String())
		}
		*open = append(*open, c)
	}
	return nil
}

func (i *idle) config() (*tls.Config, error) {
	if !i.tls {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(i.b.certs+"/b.pem", i.b.certs+"/b-key.pem")
	if err != nil {
		return nil, err
	}
	config, err := tlsConfig(i.b.certs)
	if err == nil {
		config.Certificates = []tls.Certificate{pair}
	}
	return config, err
}

// greet connects as a remote client does, and waits for the welcome.
func greet(address string, config *tls.Config) (net.Conn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if config != nil {
		c = tls.Client(c, config)
	}
	hello := wire.LinkHelloFrame{VersionMin: 1, VersionMax: 1, Name: "b", Agent: "gatewaybench"}
	if _, err := c.Write(hello.Append(nil)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	header := make([]byte, wire.LinkHeaderBytes)
	if _, err := io.ReadFull(c, header); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	h, err := wire.DecodeLinkHeader(header)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	rest := make([]byte, int(h.Bytes)-len(header))
	if _, err := io.ReadFull(c, rest); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if h.Kind != wire.LinkWelcome {
		return nil, errors.Join(fmt.Errorf("frame of kind %d: %q", h.Kind, rest), c.Close())
	}
	return c, nil
}

// pid of brokerd itself, which taskset has become.
func (h *host) pid() int { return h.cmd.Process.Pid }

// resident is VmRSS in bytes.
func resident(pid int) (int64, error) {
	kib, err := statusField(pid, "status", "VmRSS:")
	return kib << 10, err
}

// voluntarySwitches counts, over all threads, how often they went to sleep.
func voluntarySwitches(pid int) (sum int64, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return 0, err
	}
	for _, t := range tasks {
		n, err := statusField(pid, "task/"+filepath.Base(t)+"/status", "voluntary_ctxt_switches:")
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func statusField(pid int, file, field string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if value, ok := strings.CutPrefix(s.Text(), field); ok {
			return strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/%d/%s has no %s", pid, file, field)
}
