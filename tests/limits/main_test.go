package limits

import (
	"flag"
	"os"
	"testing"

	"brokerd/tests/internal/harness"
)

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

// full makes the leak tests run their whole number of cycles.
var full = flag.Bool("full", false, "run all cycles of the leak tests, not a tenth")

// roleVariable names the part that the test binary plays when it starts itself.
const roleVariable = "BROKERD_LIMITS_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(playRole(role, os.Args[1:]))
	}
	os.Exit(harness.Main(m, &binaries))
}
