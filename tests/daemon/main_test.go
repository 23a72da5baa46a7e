package daemon

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// testVersion is what the binary under test is told to be.
const testVersion = "v0.0.0-test"

// binary is the path of brokerd, built once by TestMain.
var binary string

func TestMain(m *testing.M) {
	if socket := os.Getenv(puppetSocket); socket != "" {
		if err := playPuppet(socket); err != nil {
			fmt.Fprintln(os.Stderr, "puppet:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "brokerd-binary-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // some tests run it as another user
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "brokerd")
	build := exec.Command("go", "build", "-o", binary, "-ldflags", "-X main.version="+testVersion, "brokerd/cmd/brokerd")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build brokerd: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
