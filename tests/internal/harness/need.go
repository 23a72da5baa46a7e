package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// NeedRoot skips a test that has to act as several users.
func NeedRoot(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, " + why)
	}
}

// Tool is the path of a program: of PATH, or of the folder where tests/setup.sh
// puts what it does not install. A test whose tool is missing skips, naming the
// Debian package that has it.
func Tool(t testing.TB, name, debian string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	cache, err := os.UserCacheDir()
	if err == nil {
		var path string
		if path, err = exec.LookPath(filepath.Join(cache, "brokerd-tests", name)); err == nil {
			return path
		}
	}
	t.Skipf("needs %s (make deps unpacks it from the Debian package %s): %v", name, debian, err)
	return ""
}
