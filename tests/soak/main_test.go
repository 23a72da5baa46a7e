package soak

import (
	"flag"
	"os"
	"testing"
	"time"

	"brokerd/tests/internal/harness"
)

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

var (
	soakFor = flag.Duration("for", 6*time.Second, "how long the soak takes")
	csvPath = flag.String("csv", "", "file that gets the samples, \"\" for none")
	seed    = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the load")
)

// roleVariable names the part that the test binary plays when it starts itself.
const roleVariable = "BROKERD_SOAK_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVariable) != "" {
		os.Exit(victim(os.Args[1:]))
	}
	os.Exit(harness.Main(m, &binaries))
}
