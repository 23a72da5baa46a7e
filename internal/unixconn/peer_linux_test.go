package unixconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// dialVariable makes this program a child that dials what it names.
const dialVariable = "UNIXCONN_TEST_DIAL"

// child is what the tests below run as another user.
func child(path string) {
	c, err := Dial(context.Background(), path)
	switch {
	case errors.Is(err, ErrPermission):
		fmt.Println("dial: permission")
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println("dial: ok")
		_, err := io.Copy(io.Discard, os.Stdin) // until the parent has looked
		fmt.Println(errors.Join(err, c.Close()))
	}
}

// asUser runs this program as another user; the test needs root. The binary of a
// test lies in a folder that others may not enter, so it is copied.
func asUser(t *testing.T, path string, groups []uint32) (*exec.Cmd, io.Closer, *strings.Builder) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to become another user")
	}
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	binary, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "test")
	if err := errors.Join(os.Chmod(dir, 0o755), os.WriteFile(program, binary, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), dialVariable+"="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 23456, Groups: groups}}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, stdin, &out
}

// openDir returns a folder that everybody may enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestModeKeepsOthersOut(t *testing.T) {
	path := filepath.Join(openDir(t), "s")
	listen(t, path)
	cmd, stdin, out := asUser(t, path, nil)
	if err := errors.Join(stdin.Close(), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "dial: permission\n") {
		t.Errorf("got %q", out.String())
	}
}

// The groups of a peer are those it had when it connected: none, or more than
// fit into the buffer first offered.
func TestPeerOfAnotherUser(t *testing.T) {
	checkLeaks(t)
	many := make([]uint32, 3000)
	for i := range many {
		many[i] = uint32(100000 + i)
	}
	for _, groups := range [][]uint32{nil, many} {
		path := filepath.Join(openDir(t), "s")
		l, err := Listen(path, 0o666, -1)
		if err != nil {
			t.Fatal(err)
		}
		cmd, stdin, out := asUser(t, path, groups)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		peer, err := c.Peer()
		if err != nil || peer.PID != cmd.Process.Pid || peer.UID != 12345 || peer.GID != 23456 || !slices.Equal(peer.Groups, groups) {
			t.Errorf("%d groups: peer %d %d %d with %d groups, %v", len(groups), peer.PID, peer.UID, peer.GID, len(peer.Groups), err)
		}
		if peer.PIDFD != nil {
			checkPIDFD(t, peer)
		}
		if len(groups) > 0 {
			checkGroupsFit(t, c, groups)
		}
		if err := errors.Join(stdin.Close(), cmd.Wait(), c.Close(), l.Close()); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// checkGroupsFit reads the groups with a buffer that just fits and with one that
// is a byte too short.
func checkGroupsFit(t *testing.T, c *Conn, groups []uint32) {
	t.Helper()
	fits := 8 + 4*len(groups)
	err := control(c.socket, func(fd int) error {
		got, needed, err := readGroups(fd, fits)
		if err != nil || needed != fits || !slices.Equal(got, groups) {
			t.Errorf("a buffer that fits: %d groups, needed %d, %v; want %d", len(got), needed, err, fits)
		}
		got, needed, err = readGroups(fd, fits-1)
		if !errors.Is(err, unix.ERANGE) || needed != fits || got != nil {
			t.Errorf("a buffer too short: %d groups, needed %d, %v; want %d", len(got), needed, err, fits)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// checkPIDFD checks that the pidfd is close-on-exec and that of the peer.
func checkPIDFD(t *testing.T, peer Peer) {
	t.Helper()
	fd, err := descriptor(peer.PIDFD)
	if err != nil {
		t.Fatal(err)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("flags of the pidfd %#x, %v", flags, err)
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	if err != nil || !strings.Contains(string(text), fmt.Sprintf("Pid:\t%d\n", peer.PID)) {
		t.Errorf("pidfd of process %d: %s, %v", peer.PID, text, err)
	}
}
