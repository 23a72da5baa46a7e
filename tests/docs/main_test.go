package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"brokerd/tests/internal/harness"
)

// binaries are the commands that the pages use. TestMain sets them once.
var binaries harness.Binaries

func TestMain(m *testing.M) {
	if code, asked := (harness.Roles{"claiming": claiming}).Play(); asked {
		os.Exit(code)
	}
	os.Exit(harness.WithBinaries(func(b harness.Binaries) int {
		binaries = b
		if out, err := exec.Command("go", "build", "-o", strategyProgram(), "brokerd/examples/strategy").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build examples/strategy: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}))
}

// strategyProgram is the path of the built example.
func strategyProgram() string { return filepath.Join(filepath.Dir(binaries.Brokerd), "strategy") }

// page reads a file of the source.
func page(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
