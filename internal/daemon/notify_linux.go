package daemon

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// notifyWriteMax bounds the wait for a service manager that does not read.
const notifyWriteMax = time.Second

// notifier speaks the sd_notify protocol: one datagram of NAME=VALUE lines for
// each thing the service manager should know. A nil notifier, that of a daemon
// without a service manager, sends nothing.
type notifier struct {
	conn *net.UnixConn
	// watchdog is the longest the manager goes without WATCHDOG=1 before it
	// kills the daemon; 0 when it does not watch.
	watchdog time.Duration
}

// newNotifier reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID. It returns
// nil without an error when the first is not set.
func newNotifier(getenv func(string) string, pid int) (*notifier, error) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil, nil
	}
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "@") {
		return nil, fmt.Errorf("NOTIFY_SOCKET is %q: expected an absolute path, or @ and an abstract name", path)
	}
	watchdog, err := watchdogInterval(getenv, pid)
	if err != nil {
		return nil, err
	}
	// The net package makes an abstract address of a leading @.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET %s: %w", path, err)
	}
	return &notifier{conn: conn, watchdog: watchdog}, nil
}

func watchdogInterval(getenv func(string) string, pid int) (time.Duration, error) {
	usec := getenv("WATCHDOG_USEC")
	if usec == "" {
		return 0, nil
	}
	if owner := getenv("WATCHDOG_PID"); owner != "" && owner != strconv.Itoa(pid) {
		return 0, nil // meant for a parent of this process
	}
	n, err := strconv.ParseUint(usec, 10, 63)
	interval := time.Duration(n) * time.Microsecond
	if err != nil || n == 0 || interval/time.Microsecond != time.Duration(n) {
		return 0, fmt.Errorf("WATCHDOG_USEC is %q: expected microseconds", usec)
	}
	return interval, nil
}

// reloading are the lines that announce a reload. The time tells the manager
// which of its requests they answer.
func reloading() ([]string, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return nil, fmt.Errorf("read the monotonic clock: %w", err)
	}
	return []string{"RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond))}, nil
}

// send passes on lines such as "READY=1".
func (n *notifier) send(lines ...string) error {
	if n == nil {
		return nil
	}
	if err := n.conn.SetWriteDeadline(time.Now().Add(notifyWriteMax)); err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	if _, err := n.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("notify the service manager: %w", err)
	}
	return nil
}

func (n *notifier) close() error {
	if n == nil {
		return nil
	}
	return n.conn.Close()
}
