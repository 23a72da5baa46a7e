package crash

import (
	"os"
	"strconv"
	"testing"

	"brokerd/tests/internal/harness"
)

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

func TestMain(m *testing.M) {
	os.Exit(harness.Roles{"tracer": traceAsked}.Main(m, &binaries))
}

// traceAsked is a role. Arguments: the process to be traced, the step to stop it at.
func traceAsked(args []string) error {
	pid, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	step, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	return trace(pid, step)
}
