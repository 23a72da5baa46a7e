package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestLoopThatEndsBringsTheDaemonDown(t *testing.T) {
	for _, cause := range []error{nil, errors.New("epoll broke")} {
		d := &daemon{log: zap.NewNop(), failed: make(chan error, 1)}
		d.spawn("first loop", func(context.Context) error { return cause })
		d.spawn("second loop", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		err := d.wait(t.Context())
		if err == nil || !strings.Contains(err.Error(), "first loop ended") || (cause != nil && !errors.Is(err, cause)) {
			t.Errorf("cause %v: wait returns %v", cause, err)
		}
		if err := d.stop(t.Context(), err); err != nil {
			t.Errorf("cause %v: stop returns %v", cause, err)
		}
	}
}

func TestLoopThatIsToldToEndMayBeSilent(t *testing.T) {
	now := time.Unix(1000, 0)
	b := newBeats(func() time.Time { return now })
	d := &daemon{log: zap.NewNop(), failed: make(chan error, 1), beats: b}
	_, release := b.join("accept loop")
	told, end := make(chan struct{}), make(chan struct{})
	d.spawnBeating("accept loop", release, func(ctx context.Context) error {
		<-ctx.Done()
		close(told)
		<-end
		return nil
	})
	now = now.Add(beatSilenceMax + time.Second)
	if late := b.late(); len(late) != 1 {
		t.Errorf("before: %q, want the loop", late)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- d.undo[0]() }()
	<-told
	for deadline := time.Now().Add(patience); len(b.late()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("while it ends: %q", b.late())
		}
	}
	close(end)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestWatchdogIsFedOnlyWhileAllLoopsBeat(t *testing.T) {
	address := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	notify, err := newNotifier(env("NOTIFY_SOCKET", address, "WATCHDOG_USEC", "20000"), os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer notify.close()
	core, logs := observer.New(zap.ErrorLevel)
	now := time.Unix(1000, 0)
	d := &daemon{log: zap.New(core), notify: notify, beats: newBeats(func() time.Time { return now }), failed: make(chan error, 1)}
	d.beats.join("broker loop")

	fed := func() string {
		buf := make([]byte, 64)
		if err := manager.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		n, err := manager.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	d.spawn("watchdog loop", d.feedWatchdog)
	if got := fed(); got != "WATCHDOG=1" {
		t.Errorf("got %q", got)
	}
	if err := d.stop(t.Context(), errUnasked); err != nil {
		t.Fatal(err)
	}
	for text := fed(); !strings.HasPrefix(text, "STOPPING=1"); text = fed() {
	}

	now = now.Add(beatSilenceMax + time.Second)
	d.undo = nil
	d.spawn("watchdog loop", d.feedWatchdog)
	for deadline := time.Now().Add(patience); logs.FilterMessage("the watchdog is not fed").Len() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the log does not say why the watchdog is not fed")
		}
	}
	if err := d.undo[0](); err != nil {
		t.Fatal(err)
	}
	if err := manager.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := manager.Read(make([]byte, 64)); err == nil {
		t.Errorf("%d bytes were sent while a loop was late", n)
	}
}
