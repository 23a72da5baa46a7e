package unixconn

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDialErrors(t *testing.T) {
	checkLeaks(t)
	dir := t.TempDir()
	for _, tt := range []struct {
		path string
		want error
	}{
		{filepath.Join(dir, "none"), ErrAbsent},
		{filepath.Join(dir, "none", "none"), ErrAbsent},
		{"/" + strings.Repeat("x", socketPathBytesMax), ErrPathTooLong},
	} {
		if _, err := Dial(context.Background(), tt.path); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.path) {
			t.Errorf("%v, want %v", err, tt.want)
		}
	}
	path := filepath.Join(dir, "s")
	listen(t, path)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Dial(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("dial without time: %v", err)
	}
}

// Dial waits while the queue of the listener is full.
func TestDialWaitsForAFullQueue(t *testing.T) {
	checkLeaks(t)
	path := filepath.Join(t.TempDir(), "s")
	l := listen(t, path)
	if err := listenBacklog(l, 0); err != nil {
		t.Fatal(err)
	}
	first, err := Dial(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("dial against a full queue: %v", err)
	}
	if _, err := Listen(path, 0o600, -1); !errors.Is(err, ErrInUse) {
		t.Errorf("listen beside a full queue: %v", err)
	}
	dialled := make(chan error, 1)
	go func() {
		c, err := Dial(context.Background(), path)
		if err == nil {
			err = c.Close()
		}
		dialled <- err
	}()
	for range 2 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-dialled; err != nil {
		t.Error(err)
	}
}

func listenBacklog(l *Listener, backlog int) error {
	raw, err := l.socket.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = unix.Listen(int(fd), backlog) })
	return errors.Join(err, inner)
}
