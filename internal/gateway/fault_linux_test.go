package gateway

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// truncated maps n bytes of a file that has only the first page.
func truncated(t *testing.T, n int) []byte {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "ring")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := f.Truncate(int64(n)); err != nil {
		t.Fatal(err)
	}
	p, err := unix.Mmap(int(f.Fd()), 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(p) })
	if err := f.Truncate(int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestFaultLanding and TestFaultOutput: memory that is gone ends the session
// that gave it, with a last word, and no other.
func TestFaultLanding(t *testing.T) {
	withClient(t, func(t *testing.T, r *loopRig, conn net.Conn, e *echo) {
		r.with(func() {
			e.landing = truncated(t, 64<<10)
			e.keep = true
		})
		if _, err := conn.Write(make([]byte, 10_000)); err != nil {
			t.Fatal(err)
		}
		if err := e.ending(t); !errors.Is(err, errFault) {
			t.Errorf("closed by %v", err)
		}
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("the client read %v", err)
		}
	})
}

func TestFaultOutput(t *testing.T) {
	withClient(t, func(t *testing.T, r *loopRig, conn net.Conn, e *echo) {
		r.with(func() {
			e.lent = truncated(t, 64<<10)
			e.s.flush()
		})
		if err := e.ending(t); !errors.Is(err, errFault) {
			t.Errorf("closed by %v", err)
		}
		got, err := io.ReadAll(conn)
		if err != nil || len(got) > os.Getpagesize() {
			t.Errorf("the client read %d bytes, %v", len(got), err)
		}
	})
}
