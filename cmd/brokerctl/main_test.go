package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"brokerd/client"
)

// waitMax is how long a test waits for what should happen at once.
const waitMax = 20 * time.Second

// binaryEnv tells tests where TestMain has built brokerd.
const binaryEnv = "BROKERD_TEST_BINARY"

// TestMain builds the daemon that the tests run against, and fails the package
// when a goroutine outlives it.
func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "brokerctl-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "brokerd")
	if out, err := exec.Command("go", "build", "-o", binary, "brokerd/cmd/brokerd").CombinedOutput(); err != nil {
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

// host is a daemon of a test's own, and brokerctl speaking to it.
type host struct {
	t      *testing.T
	socket string
	config string // path of the configuration file
	dir    string // of the rings
	kill   func() // ends the daemon
}

// newHost starts a daemon with the given rings, in the words of its
// configuration.
func newHost(t *testing.T, rings string) *host {
	t.Helper()
	base, err := os.MkdirTemp("/dev/shm", "brokerctl-test-")
	if err != nil {
		t.Skipf("needs a tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	h := &host{
		t: t, socket: filepath.Join(base, "control.sock"),
		config: filepath.Join(base, "brokerd.yaml"), dir: filepath.Join(base, "rings"),
	}
	h.configure(rings, "")
	cmd := exec.Command(os.Getenv(binaryEnv), "--config", h.config)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
	})
	t.Cleanup(func() {
		h.kill()
		if t.Failed() {
			t.Logf("log of brokerd:\n%s", &log)
		}
	})
	h.eventually("brokerd is ready", func() bool { return h.run("status").code == exitDone })
	return h
}

// configure writes the configuration file: rings and more lines of it.
func (h *host) configure(rings, more string) {
	h.t.Helper()
	text := fmt.Sprintf("dir: %s\ncontrol: {socket: %s}\nrings: %s\n%s", h.dir, h.socket, rings, more)
	if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) eventually(what string, done func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(waitMax); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("%s: not within %v", what, waitMax)
		}
	}
}

// outcome is what a command line came to.
type outcome struct {
	code           int
	stdout, stderr string
}

// run runs brokerctl with nothing to read.
func (h *host) run(args ...string) outcome {
	h.t.Helper()
	return brokerctl(h.t.Context(), "", append([]string{"--socket", h.socket}, args...)...)
}

// good is run for what must succeed.
func (h *host) good(args ...string) outcome {
	h.t.Helper()
	got := h.run(args...)
	if got.code != exitDone {
		h.t.Fatalf("brokerctl %s: exit code %d\n%s", strings.Join(args, " "), got.code, got.stderr)
	}
	return got
}

func brokerctl(ctx context.Context, stdin string, args ...string) outcome {
	var stdout, stderr bytes.Buffer
	code := runContext(ctx, args, strings.NewReader(stdin), &stdout, &stderr)
	return outcome{code, stdout.String(), stderr.String()}
}

// brokerctlTo runs brokerctl with an output of the test's own.
func brokerctlTo(ctx context.Context, stdout io.Writer, args ...string) outcome {
	var stderr bytes.Buffer
	code := runContext(ctx, args, strings.NewReader(""), stdout, &stderr)
	return outcome{code: code, stderr: stderr.String()}
}

// running is a brokerctl that goes on in the background.
type running struct {
	h      *host
	cancel context.CancelFunc // what a signal does
	stderr bytes.Buffer       // to be read after wait
	done   chan int
}

// start runs brokerctl with its own streams. The test waits for it.
func (h *host) start(stdin io.Reader, stdout io.Writer, args ...string) *running {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{h: h, cancel: cancel, done: make(chan int, 1)}
	go func() {
		r.done <- runContext(ctx, append([]string{"--socket", h.socket}, args...), stdin, stdout, &r.stderr)
	}()
	h.t.Cleanup(cancel)
	return r
}

// wait returns the exit code.
func (r *running) wait() int {
	r.h.t.Helper()
	select {
	case code := <-r.done:
		return code
	case <-time.After(waitMax):
		r.h.t.Fatal("brokerctl does not end")
		return -1
	}
}

// attached waits until an attachment of that name is listed.
func (h *host) attached(name string) client.Attachment {
	h.t.Helper()
	var found client.Attachment
	h.eventually(name+" is attached", func() bool {
		var reply struct{ Attachments []client.Attachment }
		if err := json.Unmarshal([]byte(h.good("attachments", "-o", "json").stdout), &reply); err != nil {
			h.t.Fatal(err)
		}
		for _, a := range reply.Attachments {
			if a.Name == name {
				found = a
				return true
			}
		}
		return false
	})
	return found
}

// buffer collects output that is looked at while it grows.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// decodeStrict decodes JSON that must have no members but those of out.
func decodeStrict(t *testing.T, text string, out any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(out); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		t.Fatalf("more than one value in %s", text)
	}
}
