package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait. It is generous: the machine may be busy.
const patience = 20 * time.Second

// eventually polls done until it is true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// place is where one daemon lives: folders and a configuration of its own.
type place struct {
	dir, socket, config string
}

// newPlace writes a configuration with the given rings and further keys.
func newPlace(t *testing.T, rings string, more ...string) place {
	t.Helper()
	shm, err := os.MkdirTemp("/dev/shm", "brokerd-test-")
	if err != nil {
		t.Skipf("no tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(shm) })
	tmp, err := os.MkdirTemp("", "bt-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	p := place{dir: filepath.Join(shm, "rings"), socket: filepath.Join(tmp, "control.sock"), config: filepath.Join(tmp, "brokerd.yaml")}
	p.write(t, fmt.Sprintf("dir: %s\ncontrol:\n  socket: %s\nadmin:\n  listen: 127.0.0.1:0\nlog:\n  format: json\nrings: %s\n%s\n",
		p.dir, p.socket, rings, strings.Join(more, "\n")))
	return p
}

func (p place) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(p.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// oneRing is a ring that costs little.
const oneRing = "[{name: md, capacity: 64KiB}]"

// instance is one running brokerd.
type instance struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   *lockedBuffer
	ended chan struct{} // closed when it is gone
	err   error         // of Wait; read after ended
}

// lockedBuffer collects what the daemon writes to stderr.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// launch starts brokerd and does not wait for anything. The test ends it.
func launch(t *testing.T, cmd *exec.Cmd) *instance {
	t.Helper()
	i := &instance{t: t, cmd: cmd, log: &lockedBuffer{}, ended: make(chan struct{})}
	cmd.Stderr = i.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		i.err = cmd.Wait()
		close(i.ended)
	}()
	t.Cleanup(func() {
		i.kill()
		if t.Failed() {
			t.Logf("log of brokerd, pid %d:\n%s", cmd.Process.Pid, i.log)
		}
	})
	return i
}

// start starts brokerd at p and waits until it says that it is ready.
func start(t *testing.T, p place, env ...string) *instance {
	t.Helper()
	cmd := exec.Command(binary, "--config", p.config)
	cmd.Env = append(os.Environ(), env...)
	i := launch(t, cmd)
	i.waitReady()
	return i
}

func (i *instance) waitReady() {
	i.t.Helper()
	eventually(i.t, "ready", func() bool {
		select {
		case <-i.ended:
			i.t.Fatalf("brokerd ended before it was ready: %v\n%s", i.err, i.log)
		default:
		}
		return i.logged("ready") != nil
	})
}

// logged returns the fields of the first log line with that message.
func (i *instance) logged(message string) map[string]any {
	for line := range strings.Lines(i.log.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			return fields
		}
	}
	return nil
}

// waitLogged waits for a text in the log, which arrives a little later than what
// it is about.
func (i *instance) waitLogged(text string) {
	i.t.Helper()
	eventually(i.t, text+" in the log", func() bool { return strings.Contains(i.log.String(), text) })
}

// get asks the admin listener.
func (i *instance) get(path string) (code int, body string) {
	i.t.Helper()
	fields := i.logged("admin HTTP listens")
	if fields == nil {
		i.t.Fatal("the log does not name the admin address")
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(fmt.Sprintf("http://%v%s", fields["address"], path))
	if err != nil {
		i.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func (i *instance) signal(s os.Signal) {
	i.t.Helper()
	if err := i.cmd.Process.Signal(s); err != nil {
		i.t.Fatalf("signal %v: %v", s, err)
	}
}

// wait returns the exit code once the daemon is gone; -1 after a signal.
func (i *instance) wait() int {
	i.t.Helper()
	select {
	case <-i.ended:
	case <-time.After(patience):
		i.t.Fatalf("brokerd has not ended within %v", patience)
	}
	var exit *exec.ExitError
	if i.err != nil && !errors.As(i.err, &exit) {
		i.t.Fatal(i.err)
	}
	return i.cmd.ProcessState.ExitCode()
}

// kill ends it as kill -9 does. It may be gone already.
func (i *instance) kill() {
	_ = i.cmd.Process.Signal(syscall.SIGKILL)
	<-i.ended
}

// runToEnd runs brokerd with args until it ends by itself.
func runToEnd(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	i := launch(t, cmd)
	code = i.wait()
	return code, out.String(), i.log.String()
}
