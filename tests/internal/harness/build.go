package harness

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Version is what the commands under test are told to be.
const Version = "v0.0.0-test"

// Binaries are the paths of what is tested, and of the test binary itself, where
// any user may run them.
type Binaries struct{ Brokerd, Brokerctl, Self string }

// Main is WithBinaries that sets *b and runs the tests.
func Main(m *testing.M, b *Binaries) int {
	return WithBinaries(func(built Binaries) int {
		*b = built
		return m.Run()
	})
}

// WithBinaries builds brokerd and brokerctl as the Makefile does, calls run and
// removes them. It is for TestMain: the result is the exit code.
func WithBinaries(run func(Binaries) int) int {
	dir, err := os.MkdirTemp("", "brokerd-test-bin-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Chmod(dir, 0o755)
	}
	b := Binaries{filepath.Join(dir, "brokerd"), filepath.Join(dir, "brokerctl"), filepath.Join(dir, "self")}
	if err == nil {
		err = b.build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run(b)
}

func (b Binaries) build(dir string) error {
	cmd := exec.Command("go", "build", "-o", dir+"/", "-ldflags", "-X main.version="+Version, "brokerd/cmd/brokerd", "brokerd/cmd/brokerctl")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the commands: %w\n%s", err, out)
	}
	return copyProgram("/proc/self/exe", b.Self)
}

func copyProgram(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		_ = dst.Close()
		return err
	}
	return dst.Close()
}
