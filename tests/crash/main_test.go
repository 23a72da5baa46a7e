package crash

import (
	"fmt"
	"os"
	"strconv"
	"testing"

	"brokerd/tests/internal/harness"
)

// roleEnv has the test binary play the tracer.
const roleEnv = "CRASH_TEST_ROLE"

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

func TestMain(m *testing.M) {
	if os.Getenv(roleEnv) == "" {
		os.Exit(harness.Main(m, &binaries))
	}
	pid, err := strconv.Atoi(os.Args[1])
	var step int
	if err == nil {
		step, err = strconv.Atoi(os.Args[2])
	}
	if err == nil {
		err = trace(pid, step)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
