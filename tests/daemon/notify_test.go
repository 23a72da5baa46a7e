package daemon

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager stands for systemd: it collects the lines it is told.
type manager struct {
	t      *testing.T
	socket *net.UnixConn
	lines  []string
}

func newManager(t *testing.T, p place) (*manager, string) {
	t.Helper()
	path := filepath.Join(filepath.Dir(p.socket), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	return &manager{t: t, socket: socket}, "NOTIFY_SOCKET=" + path
}

// until reads lines up to the one that is wanted.
func (m *manager) until(want string) {
	m.t.Helper()
	buf := make([]byte, 4096)
	if err := m.socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
		m.t.Fatal(err)
	}
	for !slices.Contains(m.lines, want) {
		n, err := m.socket.Read(buf)
		if err != nil {
			m.t.Fatalf("waiting for %s: %v; got %q", want, err, m.lines)
		}
		m.lines = append(m.lines, strings.Split(string(buf[:n]), "\n")...)
	}
}

func TestServiceManagerIsTold(t *testing.T) {
	p := newPlace(t, oneRing)
	m, env := newManager(t, p)
	i := start(t, p, env, "WATCHDOG_USEC=200000")
	m.until("READY=1")
	if slices.Contains(m.lines, "STOPPING=1") {
		t.Errorf("STOPPING=1 before the end: %q", m.lines)
	}
	if !slices.ContainsFunc(m.lines, func(l string) bool { return strings.HasPrefix(l, "STATUS=starting: creating the configured rings") }) {
		t.Errorf("no STATUS of the start: %q", m.lines)
	}
	for range 3 {
		m.lines = nil
		m.until("WATCHDOG=1")
	}
	i.signal(syscall.SIGTERM)
	m.lines = nil
	m.until("STOPPING=1")
	if code := i.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestUnreachableServiceManagerDoesNotStopTheStart(t *testing.T) {
	p := newPlace(t, oneRing)
	i := start(t, p, "NOTIFY_SOCKET=/nonexistent/notify")
	if !strings.Contains(i.log.String(), "/nonexistent/notify") {
		t.Error("the log does not name NOTIFY_SOCKET")
	}
	i.signal(syscall.SIGINT)
	if code := i.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestServiceManagerIsToldOfReloads sends SIGHUP while the daemon starts: it is
// answered once everything is there.
func TestServiceManagerIsToldOfReloads(t *testing.T) {
	p := newPlace(t, oneRing)
	m, env := newManager(t, p)
	cmd := exec.Command(binary, "--config", p.config)
	cmd.Env = append(os.Environ(), env)
	i := launch(t, cmd)
	m.until("STATUS=starting: preparing the place of the control socket")
	i.signal(syscall.SIGHUP)
	m.until("READY=1")
	if slices.Contains(m.lines, "RELOADING=1") {
		t.Errorf("reloaded before it was ready: %q", m.lines)
	}
	expectAnnounced := func() {
		t.Helper()
		m.until("RELOADING=1")
		at := slices.Index(m.lines, "RELOADING=1")
		var usec uint64
		if _, err := fmt.Sscanf(strings.Join(m.lines[at:], " "), "RELOADING=1 MONOTONIC_USEC=%d", &usec); err != nil || usec == 0 {
			t.Errorf("RELOADING=1 comes without the time: %q: %v", m.lines[at:], err)
		}
		m.lines = nil
		m.until("READY=1")
	}
	expectAnnounced()
	if status := m.lines[slices.Index(m.lines, "READY=1")+1]; !strings.HasPrefix(status, "STATUS=ready: 1 ring, ") || strings.Contains(status, "refused") {
		t.Errorf("after a reload: %q", status)
	}
	p.edit(t, "format: json", "format: json\n  level: loud\n  colour: red")
	m.lines = nil
	i.signal(syscall.SIGHUP)
	expectAnnounced()
	if status := m.lines[slices.Index(m.lines, "READY=1")+1]; !strings.Contains(status, "reload refused: "+p.config+":8: log.level") || !strings.HasSuffix(status, "(and 1 more)") {
		t.Errorf("after a refused reload: %q", status)
	}
}
