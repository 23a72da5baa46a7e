package docs

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"brokerd/tests/internal/harness"
)

// commandsTimeout bounds the commands of one page.
const commandsTimeout = 2 * time.Minute

// TestCommandsOfThePages runs the sh blocks of each page in one bash, in their
// order, and compares what a block prints with the text block behind it, if there
// is one. Where a page starts a daemon, that is one of the test's own, too.
func TestCommandsOfThePages(t *testing.T) {
	for _, c := range []struct {
		page   string
		daemon bool // runs already
	}{{"docs/CHOOSING.md", true}, {"docs/EMBEDDING.md", true}, {"README.md", false}} {
		t.Run(filepath.Base(c.page), func(t *testing.T) {
			p := harness.NewPlace(t, binaries, "[]")
			if c.daemon {
				p.Start()
			} else {
				p.Configure("[{name: md, capacity: 16MiB}]")
			}
			runBlocks(t, p, c.page)
		})
	}
}

// marker separates the output of one block from the next.
const marker = "=== block"

func runBlocks(t *testing.T, p harness.Place, name string) {
	var script strings.Builder
	// Whatever happens, what it has started in the background ends before it does.
	fmt.Fprintln(&script, "set -euo pipefail; trap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT")
	wants := map[int]block{} // by the index of the block that prints it
	count := -1
	for _, b := range blocksOf(t, name) {
		switch b.kind {
		case "sh":
			count++
			fmt.Fprintf(&script, "echo '%s %d'\n%s", marker, count, b.text)
		case "text":
			wants[count] = b
		}
	}
	if count < 0 {
		t.Fatalf("%s has no sh block", name)
	}
	out := bash(t, p, script.String())
	parts := strings.Split(out, marker+" ")
	if len(parts) != count+2 {
		t.Fatalf("%s: %d of %d blocks ran:\n%s", name, len(parts)-1, count+1, out)
	}
	for i, part := range parts[1:] {
		_, got, _ := strings.Cut(part, "\n")
		if want, ok := wants[i]; ok && got != want.text {
			t.Errorf("%s:%d: the commands print\n%s\nand not\n%s", name, want.line, got, want.text)
		}
	}
}

// bash runs a script in a folder where the commands of the pages are in bin and in
// PATH and use the test's own daemon.
func bash(t *testing.T, p harness.Place, script string) string {
	bin := filepath.Join(p.Root, "work", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, command := range map[string]string{
		"brokerctl": p.Binaries.Brokerctl + " --socket " + p.Socket,
		"brokerd":   p.Binaries.Brokerd + " --config " + p.Config,
		"strategy":  strategyProgram() + " -socket " + p.Socket,
	} {
		text := fmt.Sprintf("#!/bin/sh\nexec %s \"$@\"\n", command)
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandsTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = filepath.Dir(bin)
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "CONFIG="+p.Config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = harness.Patience
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		t.Fatalf("%v\nstdout:\n%s\nstderr:\n%s", err, &stdout, &stderr)
	}
	return stdout.String()
}
