package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Place is where one daemon lives: folders and a configuration of its own,
// which every user may look into.
type Place struct {
	T                         testing.TB
	Binaries                  Binaries
	Root, Dir, Socket, Config string // paths; Dir is that of the rings
	// Inside is a command that runs the daemon, given as its arguments, somewhere
	// else: in a network namespace. It must become the daemon. nil for none.
	Inside []string
}

// NewPlace writes a configuration with the given rings and further keys.
func NewPlace(t testing.TB, b Binaries, rings string, more ...string) Place {
	t.Helper()
	root, err := os.MkdirTemp("/dev/shm", "brokerd-test-")
	if err != nil {
		t.Skipf("needs a tmpfs at /dev/shm: %v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	p := Place{T: t, Binaries: b, Root: root, Dir: filepath.Join(root, "rings"),
		Socket: filepath.Join(root, "control.sock"), Config: filepath.Join(root, "brokerd.yaml")}
	p.Configure(rings, more...)
	return p
}

// Configure replaces the configuration; a daemon that runs has to be told.
func (p Place) Configure(rings string, more ...string) {
	p.T.Helper()
	p.Write(fmt.Sprintf("dir: %s\ncontrol:\n  socket: %s\n  mode: \"0666\"\nadmin:\n  listen: 127.0.0.1:0\nlog:\n  format: json\nrings: %s\n%s\n",
		p.Dir, p.Socket, rings, strings.Join(more, "\n")))
}

// Write replaces the text of the configuration.
func (p Place) Write(text string) {
	p.T.Helper()
	if err := os.WriteFile(p.Config, []byte(text), 0o644); err != nil {
		p.T.Fatal(err)
	}
}

// Command is brokerctl with the socket of p.
func (p Place) Command(args ...string) *exec.Cmd {
	return exec.Command(p.Binaries.Brokerctl, append([]string{"--socket", p.Socket}, args...)...)
}

// Ctl starts brokerctl, which is to read nothing.
func (p Place) Ctl(args ...string) *Process {
	p.T.Helper()
	return Launch(p.T, p.Command(args...))
}

// Feed starts brokerctl with some input.
func (p Place) Feed(input string, args ...string) *Process {
	p.T.Helper()
	cmd := p.Command(args...)
	cmd.Stdin = strings.NewReader(input)
	return Launch(p.T, cmd)
}

// Publish publishes lines into a ring and waits until that is done.
func (p Place) Publish(ring, lines string, args ...string) {
	p.T.Helper()
	p.Feed(lines, append([]string{"attach", ring, "--as", "producer"}, args...)...).Expect(0)
}

// Output runs brokerctl to its end, which must be a good one, and returns what
// it printed.
func (p Place) Output(args ...string) string {
	p.T.Helper()
	c := p.Ctl(args...)
	c.Expect(0)
	return c.Stdout.String()
}

// Object is Output, which must be one JSON value, decoded into out.
func (p Place) Object(out any, args ...string) {
	p.T.Helper()
	text := p.Output(append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(text), out); err != nil {
		p.T.Fatalf("brokerctl %q printed %q: %v", args, text, err)
	}
}
