package prometheus

import (
	"fmt"
	"os"
	"testing"

	"brokerd/tests/internal/harness"
)

// roleVariable makes this binary play a role instead of running tests.
const roleVariable = "BROKERD_PROMETHEUS_ROLE"

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

func TestMain(m *testing.M) {
	if name := os.Getenv(roleVariable); name != "" {
		os.Exit(playRole(name, os.Args[1:]))
	}
	os.Exit(harness.Main(m, &binaries))
}

func playRole(name string, args []string) int {
	role, known := roles[name]
	err := fmt.Errorf("there is no role %q", name)
	if known {
		err = role(args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
