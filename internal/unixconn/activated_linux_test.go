package unixconn

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// activatedVariable makes this program a child that takes over what it was
// passed on, says hello to one connection, and ends.
const activatedVariable = "UNIXCONN_TEST_ACTIVATED"

func activatedChild() {
	if err := serveInherited(); err != nil {
		fmt.Println(err)
	}
}

func serveInherited() error {
	files, err := Activated(os.Getenv, os.Getpid())
	if err != nil || len(files) != 2 {
		return fmt.Errorf("took over %d: %w", len(files), err)
	}
	for _, f := range files {
		fd, err := descriptor(f)
		if err != nil {
			return err
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		fmt.Println(fd, f.Name(), flags&unix.FD_CLOEXEC != 0, err)
	}
	if _, err := Inherit(files[0]); !errors.Is(err, ErrNotListening) {
		return fmt.Errorf("inherited a pipe: %w", err)
	}
	l, err := Inherit(files[1])
	if err != nil {
		return err
	}
	c, err := l.Accept()
	if err != nil {
		return err
	}
	return errors.Join(c.WriteMessage([]byte("hello\x00"), nil), c.Close(), l.Close())
}

// TestActivated starts a child as a service manager does: it connects before
// there is anybody to answer, and the path outlives the child.
func TestActivated(t *testing.T) {
	checkLeaks(t)
	path := filepath.Join(t.TempDir(), "s")
	socket := listenAs(t, unix.SOCK_STREAM, path, true)
	client, err := Dial(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(read.Close(), write.Close(), socket.Close()) }()

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, self)
	cmd.Env = append(os.Environ(), activatedVariable+"=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=pipe:control")
	cmd.ExtraFiles = []*os.File{read, socket}
	out, err := cmd.CombinedOutput()
	if want := "3 pipe true <nil>\n4 control true <nil>\n"; err != nil || string(out) != want {
		t.Fatalf("%v, %q, want %q", err, out, want)
	}
	expect(t, client, small, "hello")
	// The manager listens still, so the next one that comes waits again.
	next, err := Dial(context.Background(), path)
	if err != nil {
		t.Fatalf("the path after the child: %v", err)
	}
	if err := next.Close(); err != nil {
		t.Error(err)
	}
}

// environment is a getenv with the three variables.
func environment(pid, fds, names string) func(string) string {
	return func(key string) string {
		return map[string]string{"LISTEN_PID": pid, "LISTEN_FDS": fds, "LISTEN_FDNAMES": names}[key]
	}
}

func TestActivatedEnvironment(t *testing.T) {
	checkLeaks(t)
	const me = 42
	start := freeRange(t, ActivatedMax+1)
	for _, tt := range []struct {
		pid, fds, names string
		want            []string // names; nil: none
		says            string   // of the error
	}{
		{"", "", "", nil, ""},
		{"42", "", "", nil, ""},
		{"", "1", "", nil, ""},
		{"41", "1", "", nil, ""},
		{"41", "nonsense", "", nil, ""}, // somebody else's
		{"42", "0", "", nil, ""},
		{"42", "1", "", []string{"unknown"}, ""},
		{"42", "2", "control:x", []string{"control", "x"}, ""},
		{"42", "64", "", slices.Repeat([]string{"unknown"}, 64), ""},
		{"42", "65", "", nil, "up to 64"},
		{"42", "-1", "", nil, `"-1"`},
		{"42", "one", "", nil, `"one"`},
		{"0", "1", "", nil, `LISTEN_PID is "0"`},
		{"me", "1", "", nil, `"me"`},
		{"42", "2", "control", nil, "1 names"},
		{"42", "1", "a:b", nil, "2 names"},
	} {
		fillRange(t, start, len(tt.want))
		files, err := activated(environment(tt.pid, tt.fds, tt.names), me, start)
		var got []string
		for _, f := range files {
			got = append(got, f.Name())
		}
		CloseFiles(files)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%q %q %q: %q, want %q", tt.pid, tt.fds, tt.names, got, tt.want)
		}
		if tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, ErrActivation) || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%q %q %q: error %v, want %q", tt.pid, tt.fds, tt.names, err, tt.says)
		}
	}
	// One of two is not there: none is touched, so the test can close its own.
	fillRange(t, start, 1)
	_, err := activated(environment("42", "2", ""), me, start)
	if !errors.Is(err, ErrActivation) || !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), strconv.Itoa(start+1)) {
		t.Errorf("a descriptor that is not open: %v", err)
	}
	if err := unix.Close(start); err != nil {
		t.Error(err)
	}
}

// freeRange finds n numbers in a row that are no descriptors, far from those
// that the runtime will open.
func freeRange(t *testing.T, n int) int {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	start := int(min(limit.Cur, 4096)) - n
	for fd := start; fd < start+n; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
			t.Fatalf("descriptor %d is open", fd)
		}
	}
	return start
}

// fillRange opens n descriptors from start on, all inheritable.
func fillRange(t *testing.T, start, n int) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = null.Close() }()
	for fd := start; fd < start+n; fd++ {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			t.Fatal(err)
		}
	}
}
