package unixconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func listen(t *testing.T, path string) *Listener {
	t.Helper()
	l, err := Listen(path, 0o600, -1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// leaveDead leaves a socket that nobody answers on.
func leaveDead(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestListenAcceptDial(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	l, err := Listen(path, 0o640, os.Getgid())
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o640 || l.Path() != path {
		t.Errorf("%v, mode %v, %v", l.Path(), info.Mode(), err)
	}
	client, err := Dial(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.WriteMessage([]byte("hello\x00"), nil); err != nil {
		t.Fatal(err)
	}
	expect(t, server, small, "hello")
	for _, c := range []*Conn{client, server} {
		peer, err := c.Peer()
		if err != nil || peer.PID != os.Getpid() || peer.UID != uint32(os.Getuid()) || peer.GID != uint32(os.Getgid()) {
			t.Errorf("peer %+v, %v", peer, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left := names(t, dir); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept after close: %v", err)
	}
}

func TestListenReplacesADeadSocket(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	leaveDead(t, path)
	if _, err := Dial(context.Background(), path); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), path) {
		t.Errorf("dial a dead socket: %v", err)
	}
	listen(t, path)
	if left := names(t, dir); !slices.Equal(left, []string{"s"}) {
		t.Errorf("in the folder: %q", left)
	}
	c, err := Dial(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestListenRefuses(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	live, file := filepath.Join(dir, "live"), filepath.Join(dir, "file")
	listen(t, live)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(live, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	before := names(t, dir)
	for _, tt := range []struct {
		path string
		want error
		says string
	}{
		{live, ErrInUse, fmt.Sprintf("process %d listens", os.Getpid())},
		{file, ErrNotSocket, "move it away"},
		{filepath.Join(dir, "link"), ErrNotSocket, "move it away"},
		{filepath.Join(dir, "none", "s"), os.ErrNotExist, "folder"},
		{filepath.Join(file, "s"), unix.ENOTDIR, "folder"},
		{"/" + strings.Repeat("x", socketPathBytesMax), ErrPathTooLong, "108 bytes, at most 107"},
	} {
		l, err := Listen(tt.path, 0o600, -1)
		if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), tt.path) {
			t.Errorf("%s: %v, %v; want %v", tt.path, l, err, tt.want)
		}
	}
	if after := names(t, dir); !slices.Equal(before, after) {
		t.Errorf("in the folder: %q, then %q", before, after)
	}
}

func TestListenAtTheLongestPath(t *testing.T) {
	checkLeaks(t)
	dir, err := os.MkdirTemp("", "") // shorter than that of the test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, strings.Repeat("x", socketPathBytesMax-len(dir)-1))
	if len(path) != socketPathBytesMax {
		t.Fatalf("path of %d bytes", len(path))
	}
	listen(t, path)
	c, err := Dial(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// Of several that start at once, on the same dead socket or on none, exactly one
// wins, and what it listens on stays reachable.
func TestListenRace(t *testing.T) {
	checkLeaks(t)
	for i := range 100 {
		dir := t.TempDir()
		path := filepath.Join(dir, "s")
		if i%2 == 0 {
			leaveDead(t, path)
		}
		var wg sync.WaitGroup
		results := make(chan any, 6)
		for range cap(results) {
			wg.Go(func() {
				if l, err := Listen(path, 0o600, -1); err != nil {
					results <- err
				} else {
					results <- l
				}
			})
		}
		wg.Wait()
		close(results)
		var winners []*Listener
		for r := range results {
			switch r := r.(type) {
			case *Listener:
				winners = append(winners, r)
			case error:
				if !errors.Is(r, ErrInUse) {
					t.Error(r)
				}
			}
		}
		if len(winners) != 1 {
			t.Fatalf("%d winners", len(winners))
		}
		c, err := Dial(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		s, err := winners[0].Accept()
		if err != nil {
			t.Fatal(err)
		}
		for _, closer := range []io.Closer{c, s, winners[0]} {
			if err := closer.Close(); err != nil {
				t.Error(err)
			}
		}
		if left := names(t, dir); len(left) != 0 {
			t.Fatalf("left behind: %q", left)
		}
	}
}

// A listener does not remove what has taken its place.
func TestCloseLeavesTheSocketOfAnother(t *testing.T) {
	checkLeaks(t)
	path := filepath.Join(t.TempDir(), "s")
	first := listen(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listen(t, path)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

func TestWaiting(t *testing.T) {
	checkLeaks(t)
	path := filepath.Join(t.TempDir(), "s")
	l := listen(t, path)
	for range 3 {
		if l.Waiting() {
			t.Error("nobody has connected, and somebody waits")
		}
		c, err := Dial(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		if !l.Waiting() {
			t.Error("somebody has connected, and nobody waits")
		}
		accepted, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Close(), accepted.Close()); err != nil {
			t.Error(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if !l.Waiting() {
		t.Error("a closed listener has nothing to tell: Accept does")
	}
}
