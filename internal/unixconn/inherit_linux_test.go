package unixconn

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// listenAs makes a socket of the given type, bound to name ("" not at all).
func listenAs(t *testing.T, kind int, name string, listens bool) *os.File {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if name != "" {
		err = unix.Bind(fd, &unix.SockaddrUnix{Name: name})
	}
	if err == nil && listens {
		err = unix.Listen(fd, 8)
	}
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "test socket")
}

func TestInherit(t *testing.T) {
	checkLeaks(t)
	path := filepath.Join(t.TempDir(), "s")
	manager := listenAs(t, unix.SOCK_STREAM, path, true)
	defer func() { _ = manager.Close() }()
	for range 2 { // a daemon, and the next one
		passed, err := unix.FcntlInt(manager.Fd(), unix.F_DUPFD, 0) // inheritable, as after an exec
		if err != nil {
			t.Fatal(err)
		}
		client, err := Dial(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		l, err := Inherit(os.NewFile(uintptr(passed), "control"))
		if err != nil {
			t.Fatal(err)
		}
		if l.Path() != path {
			t.Errorf("path %q, want %q", l.Path(), path)
		}
		if err := notInheritable(l); err != nil {
			t.Error(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		peer, err := server.Peer()
		if err != nil || peer.PID != os.Getpid() {
			t.Errorf("peer %+v, %v", peer, err)
		}
		accepted := make(chan error, 1)
		go func() { _, err := l.Accept(); accepted <- err }()
		if err := errors.Join(client.Close(), server.Close(), l.Close()); err != nil {
			t.Error(err)
		}
		if err := <-accepted; !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept after close: %v", err)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Fatalf("the path after Close: %v", err)
		}
	}
	if _, err := Listen(path, 0o600, -1); !errors.Is(err, ErrInUse) {
		t.Errorf("listen where a service manager does: %v", err)
	}
}

// notInheritable fails if a child would inherit the descriptor of a listener.
func notInheritable(l *Listener) error {
	raw, err := l.socket.SyscallConn()
	if err != nil {
		return err
	}
	var flags int
	var inner error
	err = raw.Control(func(fd uintptr) { flags, inner = unix.FcntlInt(fd, unix.F_GETFD, 0) })
	if err = errors.Join(err, inner); err == nil && flags&unix.FD_CLOEXEC == 0 {
		err = errors.New("the listener is inheritable")
	}
	return err
}

func TestInheritRefuses(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	inet, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	closed := os.NewFile(uintptr(inet), "closed") // for the number to be valid so far
	inetFD, err := unix.FcntlInt(uintptr(inet), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for says, f := range map[string]*os.File{
		"no socket":        file,
		"no Unix socket":   os.NewFile(uintptr(inetFD), "inet"),
		"stream socket":    listenAs(t, unix.SOCK_SEQPACKET, filepath.Join(dir, "q"), true),
		"Accept=no":        listenAs(t, unix.SOCK_STREAM, filepath.Join(dir, "s"), false),
		"no absolute path": listenAs(t, unix.SOCK_STREAM, "@brokerd-test-"+strconv.Itoa(os.Getpid()), true),
	} {
		name := f.Name()
		l, err := Inherit(f)
		if !errors.Is(err, ErrNotListening) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, %v; want %q and %q", l, err, says, name)
		}
		if err := f.Close(); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: refused and left open: %v", says, err)
		}
	}
	if l, err := Inherit(closed); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed file: %v, %v", l, err)
	}
}

func TestWhoListens(t *testing.T) {
	for pid, says := range map[int]string{serviceManagerPID: "socket unit", 77: "process 77 listens"} {
		if text := whoListens(pid); !strings.Contains(text, says) {
			t.Errorf("%d: %q, want %q", pid, text, says)
		}
	}
}
