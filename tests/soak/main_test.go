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

func TestMain(m *testing.M) {
	os.Exit(harness.Roles{"victim": victim}.Main(m, &binaries))
}
