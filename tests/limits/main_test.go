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

func TestMain(m *testing.M) {
	os.Exit(harness.Roles{"victim": victim}.Main(m, &binaries))
}
