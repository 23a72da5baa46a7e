package daemon

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func env(pairs ...string) func(string) string {
	return func(key string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == key {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestNotifierReachesPathAndAbstractName(t *testing.T) {
	dir := t.TempDir()
	for _, address := range []string{
		filepath.Join(dir, "notify"),
		fmt.Sprintf("@brokerd-test-%d-%d", os.Getpid(), time.Now().UnixNano()),
	} {
		manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		n, err := newNotifier(env("NOTIFY_SOCKET", address), 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.send("READY=1", "STATUS=well"); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 256)
		if err := manager.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		size, err := manager.Read(buf)
		if err != nil || string(buf[:size]) != "READY=1\nSTATUS=well" {
			t.Errorf("%s: the manager got %q, %v", address, buf[:size], err)
		}
		if err := n.close(); err != nil {
			t.Error(err)
		}
		if err := manager.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNotifierDoesNotWaitForEver(t *testing.T) {
	address := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	n, err := newNotifier(env("NOTIFY_SOCKET", address), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	begin := time.Now()
	for err == nil { // until the queue that nobody reads is full
		if err = n.send("WATCHDOG=1"); time.Since(begin) > time.Minute {
			t.Fatal("the queue never fills")
		}
	}
	if !os.IsTimeout(err) && !strings.Contains(err.Error(), "timeout") {
		t.Errorf("full queue: %v, want a timeout", err)
	}
}

func TestNotifierWithoutManager(t *testing.T) {
	n, err := newNotifier(env(), 1)
	if n != nil || err != nil {
		t.Fatalf("got %v, %v", n, err)
	}
	if err := n.send("READY=1"); err != nil {
		t.Error(err)
	}
	if err := n.close(); err != nil {
		t.Error(err)
	}
}

func TestNotifierRefusesBadEnvironment(t *testing.T) {
	for _, c := range []struct{ socket, usec, want string }{
		{"relative", "", "NOTIFY_SOCKET"},
		{"vsock:2:1234", "", "NOTIFY_SOCKET"},
		{"/nonexistent/notify", "", "/nonexistent/notify"},
		{"/nonexistent/notify", "soon", "WATCHDOG_USEC"},
		{"/nonexistent/notify", "0", "WATCHDOG_USEC"},
		{"/nonexistent/notify", "-1", "WATCHDOG_USEC"},
		{"/nonexistent/notify", "9223372036854775807", "WATCHDOG_USEC"},
	} {
		n, err := newNotifier(env("NOTIFY_SOCKET", c.socket, "WATCHDOG_USEC", c.usec), 1)
		if n != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("socket %q, usec %q: got %v, %v, want an error naming %s", c.socket, c.usec, n, err, c.want)
		}
	}
}

func TestWatchdogInterval(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0}, {"10000000", "", 10 * time.Second}, {"1", "42", time.Microsecond}, {"10000000", "43", 0},
	} {
		got, err := watchdogInterval(env("WATCHDOG_USEC", c.usec, "WATCHDOG_PID", c.pid), 42)
		if err != nil || got != c.want {
			t.Errorf("WATCHDOG_USEC=%q WATCHDOG_PID=%q: got %v, %v, want %v", c.usec, c.pid, got, err, c.want)
		}
	}
}

func TestReloadingCarriesTheMonotonicClock(t *testing.T) {
	uptime := func() int64 {
		text, err := os.ReadFile("/proc/uptime")
		if err != nil {
			t.Fatal(err)
		}
		var seconds float64
		if _, err := fmt.Sscan(string(text), &seconds); err != nil {
			t.Fatal(err)
		}
		return int64(seconds * 1e6)
	}
	before := uptime()
	lines, err := reloading()
	if err != nil || len(lines) != 2 || lines[0] != "RELOADING=1" {
		t.Fatalf("got %q, %v", lines, err)
	}
	var usec int64
	if _, err := fmt.Sscanf(lines[1], "MONOTONIC_USEC=%d", &usec); err != nil {
		t.Fatalf("%q: %v", lines[1], err)
	}
	// Uptime counts sleep, which a machine that runs tests does not do; it has hundredths.
	if after := uptime(); usec < before-20_000 || usec > after+20_000 {
		t.Errorf("%d microseconds, between %d and %d expected", usec, before, after)
	}
}
