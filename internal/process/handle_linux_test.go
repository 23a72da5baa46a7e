package process

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestSelf(t *testing.T) {
	checkLeaks(t)
	id, err := Self()
	if err != nil || id.PID != os.Getpid() || id.Start == 0 {
		t.Fatalf("got %+v, %v", id, err)
	}
	h := open(t, id.PID)
	if h.ID() != id || h.Exited() {
		t.Errorf("got %+v, exited %v; want %+v", h.ID(), h.Exited(), id)
	}
}

func TestDeath(t *testing.T) {
	checkLeaks(t)
	c := start(t)
	h := open(t, c.pid())
	if h.Exited() {
		t.Fatal("a living process is gone")
	}
	if err := h.Wait(within(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("waited for a living process: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- h.Wait(within(t, 10*time.Second)) }()
	c.kill()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// It is a zombie now: it was not waited for.
	if !h.Exited() {
		t.Error("a zombie is not gone")
	}
	if _, err := Open(c.pid()); !errors.Is(err, ErrGone) {
		t.Errorf("opened a zombie: %v", err)
	}
	if _, err := OpenID(h.ID()); !errors.Is(err, ErrGone) {
		t.Errorf("opened a zombie: %v", err)
	}
	c.reap()
	if _, err := Open(c.pid()); !errors.Is(err, ErrGone) {
		t.Errorf("opened what is no more: %v", err)
	}
	if !h.Exited() || h.Wait(context.Background()) != nil {
		t.Error("what is no more is not gone")
	}
}

// A stopped process is not dead.
func TestStoppedIsNotGone(t *testing.T) {
	checkLeaks(t)
	c := start(t)
	h := open(t, c.pid())
	if err := unix.Kill(c.pid(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(c.pid(), &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("status %#x, %v", status, err)
	}
	if h.Exited() {
		t.Error("a stopped process is gone")
	}
	open(t, c.pid())
}

func TestOpenID(t *testing.T) {
	checkLeaks(t)
	c := start(t)
	id := open(t, c.pid()).ID()
	same, err := OpenID(id)
	if err != nil {
		t.Fatal(err)
	}
	if same.ID() != id {
		t.Errorf("got %+v, want %+v", same.ID(), id)
	}
	if err := same.Close(); err != nil {
		t.Error(err)
	}
	id.Start-- // as if the process id had been another's before
	if _, err := OpenID(id); !errors.Is(err, ErrGone) {
		t.Errorf("opened a successor: %v", err)
	}
}

func TestFromPeer(t *testing.T) {
	checkLeaks(t)
	c := start(t)
	fd, err := unix.PidfdOpen(c.pid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	defer func() { _ = pidfd.Close() }()
	id := open(t, c.pid()).ID()
	for _, given := range []*os.File{nil, pidfd} {
		h, err := FromPeer(c.pid(), given)
		if err != nil {
			t.Fatal(err)
		}
		if h.ID() != id || h.Exited() {
			t.Errorf("got %+v, exited %v; want %+v", h.ID(), h.Exited(), id)
		}
		if err := h.Wait(within(t, 20*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waited for a living process: %v", err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	h, err := FromPeer(c.pid(), pidfd)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	c.kill()
	if err := h.Wait(within(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
	c.reap()
	// The id may be another's by now; the pidfd tells that the peer is gone.
	for _, pid := range []int{c.pid(), os.Getpid()} {
		if _, err := FromPeer(pid, pidfd); !errors.Is(err, ErrGone) {
			t.Errorf("a peer that is gone: %v", err)
		}
	}
	for _, given := range []*os.File{nil, pidfd} {
		if _, err := FromPeer(0, given); !errors.Is(err, ErrForeignNamespace) {
			t.Errorf("a peer without id: %v", err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	checkLeaks(t)
	for _, pid := range []int{-1, 0} {
		if _, err := Open(pid); err == nil || errors.Is(err, ErrGone) {
			t.Errorf("process %d: %v", pid, err)
		}
	}
	if _, err := Open(1 << 22); !errors.Is(err, ErrGone) { // past the highest id
		t.Errorf("no process: %v", err)
	}
}

func TestDupAndClose(t *testing.T) {
	checkLeaks(t)
	c := start(t)
	h := open(t, c.pid())
	dup, err := h.Dup()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dup.Close() }()
	waiting := make(chan error, 1)
	go func() { waiting <- h.Wait(context.Background()) }()
	eventuallyParked(t)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; !errors.Is(err, os.ErrClosed) {
		t.Errorf("the wait on a closed handle: %v", err)
	}
	if err := h.Wait(context.Background()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a wait on a closed handle: %v", err)
	}
	if dup.ID() != h.ID() || dup.Exited() {
		t.Errorf("the duplicate: %+v, exited %v", dup.ID(), dup.Exited())
	}
	c.kill()
	if err := dup.Wait(within(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
}

// Many waits cost no threads.
func TestWaitHoldsNoThread(t *testing.T) {
	checkLeaks(t)
	c := start(t)
	const waits = 200
	done := make(chan error, waits)
	before := threads(t)
	for range waits {
		h := open(t, c.pid())
		go func() { done <- h.Wait(context.Background()) }()
	}
	eventuallyParked(t)
	if grown := threads(t) - before; grown > waits/4 {
		t.Errorf("%d more threads", grown)
	}
	c.kill()
	for range waits {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

func threads(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A wait that was given up leaves nothing that ends the next one.
func TestWaitAfterWait(t *testing.T) {
	checkLeaks(t)
	c := start(t)
	h := open(t, c.pid())
	for i := range 200 {
		ctx, cancel := context.WithCancel(context.Background())
		if i%2 == 0 {
			go cancel()
		} else {
			cancel()
		}
		if err := h.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("wait %d: %v", i, err)
		}
		cancel()
	}
	if err := h.Wait(within(t, 30*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}
