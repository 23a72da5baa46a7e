package prometheus

import (
	"os"
	"testing"

	"brokerd/tests/internal/harness"
)

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

func TestMain(m *testing.M) { os.Exit(roles.Main(m, &binaries)) }
