package daemon

import (
	"net"
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
	if !slices.ContainsFunc(m.lines, func(l string) bool { return strings.HasPrefix(l, "STATUS=starting: creating ring md") }) {
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
