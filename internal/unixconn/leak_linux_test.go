package unixconn

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(dialVariable); path != "" {
		child(path)
		return
	}
	if os.Getenv(activatedVariable) != "" {
		activatedChild()
		return
	}
	goleak.VerifyTestMain(m)
}

// openFiles returns the descriptors of this process and what they refer to.
// Those that the runtime opens once and keeps are left out.
func openFiles(t *testing.T) map[string]string {
	t.Helper()
	open := make(map[string]string)
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name()))
		if err == nil && target != "anon_inode:[eventpoll]" && target != "anon_inode:[eventfd]" {
			open[e.Name()] = target
		}
	}
	return open
}

// checkLeaks fails the test if it leaves a descriptor open, or if one that it
// had open was inheritable.
func checkLeaks(t *testing.T) {
	t.Helper()
	before := openFiles(t)
	t.Cleanup(func() {
		for fd, target := range openFiles(t) {
			if before[fd] != target {
				t.Errorf("descriptor %s left open: %s", fd, target)
			}
		}
		runtime.KeepAlive(before)
	})
}

// pair returns both ends of a connection; the test closes the second by itself
// if it cares when.
func pair(t testing.TB) (*Conn, *Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		conns[i] = NewConn(c.(*net.UnixConn))
		t.Cleanup(func() { _ = conns[i].Close() })
	}
	return conns[0], conns[1]
}

// write sends bytes as they are, in one sendmsg.
func write(t testing.TB, c *Conn, s string, files ...*os.File) {
	t.Helper()
	var n int
	var err error
	if len(files) > 0 {
		n, err = c.sendFiles([]byte(s), files)
	} else {
		n, err = c.socket.Write([]byte(s))
	}
	if err != nil || n != len(s) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(s), err)
	}
}

// numbered returns a file whose content is n.
func numbered(t testing.TB, n int) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := fmt.Fprint(f, n); err != nil {
		t.Fatal(err)
	}
	return f
}

// numbers reads the contents of files, closes them, and checks that no child
// could have inherited one.
func numbers(t testing.TB, files []*os.File) (ns []int) {
	t.Helper()
	for _, f := range files {
		fd, err := descriptor(f)
		if err != nil {
			t.Fatal(err)
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("a received descriptor is inheritable (flags %#x, %v)", flags, err)
		}
		var buf [20]byte
		n, err := f.ReadAt(buf[:], 0)
		if n == 0 {
			t.Fatal(err)
		}
		var number int
		if _, err := fmt.Sscan(string(buf[:n]), &number); err != nil {
			t.Fatal(err)
		}
		ns = append(ns, number)
	}
	CloseFiles(files)
	return ns
}

// eventually polls a condition.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never happened: " + what)
		}
	}
}
