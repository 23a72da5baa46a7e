package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"brokerd/client"
)

// waitMax is how long a test waits for what should happen at once.
const waitMax = 20 * time.Second

// binaryEnv tells tests and examples where TestMain has built brokerd.
const binaryEnv = "BROKERD_TEST_BINARY"

// TestMain builds the daemon that the tests run against, and fails the package
// when a goroutine outlives it. In a child process it plays that child's part.
func TestMain(m *testing.M) {
	if part := os.Getenv(childEnv); part != "" {
		os.Exit(playChild(part, os.Args[1:]))
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "brokerd-client-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "brokerd")
	build := exec.Command("go", "build", "-o", binary, "brokerd/cmd/brokerd")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build brokerd: %v\n%s", err, out)
		return 1
	}
	if err := os.Setenv(binaryEnv, binary); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// daemon is a brokerd of the test's own.
type daemon struct {
	base, socket, config string
	cmd                  *exec.Cmd
}

// newDaemon makes a place for a daemon. Its rings lie on tmpfs.
func newDaemon() (*daemon, error) {
	base, err := os.MkdirTemp("/dev/shm", "brokerd-client-")
	if err != nil {
		return nil, err
	}
	d := &daemon{base: base, socket: filepath.Join(base, "control.sock"), config: filepath.Join(base, "brokerd.yaml")}
	return d, d.write("[]")
}

// write writes a configuration with rings, in YAML.
func (d *daemon) write(rings string) error {
	text := fmt.Sprintf("dir: %s/rings\ncontrol: {socket: %s}\nrings: %s\n", d.base, d.socket, rings)
	return os.WriteFile(d.config, []byte(text), 0o600)
}

func (d *daemon) configure(t *testing.T, rings string) {
	t.Helper()
	if err := d.write(rings); err != nil {
		t.Fatal(err)
	}
}

// start runs brokerd and waits until it is ready.
func (d *daemon) start() error {
	log, err := os.OpenFile(filepath.Join(d.base, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = exec.Command(os.Getenv(binaryEnv), "--config", d.config)
	d.cmd.Stderr = log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitMax)
	defer cancel()
	c, err := client.Dial(ctx, client.Options{Socket: d.socket, WaitFor: waitMax})
	if err != nil {
		return err
	}
	for {
		s, err := c.Status(ctx)
		if err != nil || s.State == client.DaemonReady {
			return errors.Join(err, c.Close())
		}
	}
}

// kill ends brokerd as kill -9 does.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait() // says that it was killed
}

// remove ends brokerd and deletes its place.
func (d *daemon) remove() {
	if d.cmd != nil {
		d.kill()
	}
	_ = os.RemoveAll(d.base)
}

// startDaemon gives a test a daemon of its own.
func startDaemon(t *testing.T) *daemon {
	t.Helper()
	d, err := newDaemon()
	if err != nil {
		t.Skipf("needs a tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(d.remove)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(d.base, "log"))
			t.Logf("log of brokerd:\n%s", log)
		}
	})
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// dialDaemon connects a test, and closes at its end.
func dialDaemon(t *testing.T, d *daemon) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), client.Options{Socket: d.socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// createRing makes a small ring.
func createRing(t *testing.T, c *client.Client, name string) client.Ring {
	t.Helper()
	r, err := c.CreateRing(t.Context(), client.RingSpec{Name: name, Capacity: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// eventually polls until done says true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitMax); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, waitMax)
		}
	}
}

func wantError(t *testing.T, what string, err error, is error, says ...string) {
	t.Helper()
	if !errors.Is(err, is) {
		t.Errorf("%s: got %v, want an error that is %v", what, err, is)
		return
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s: got %q, which does not say %q", what, err, text)
		}
	}
}
