package e2e

import (
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"brokerd/tests/internal/harness"
)

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

func TestMain(m *testing.M) { os.Exit(roles.Main(m, &binaries)) }

// place is where one daemon of these tests lives.
type place struct{ harness.Place }

// newPlace writes a configuration with the given rings and further keys.
func newPlace(t testing.TB, rings string, more ...string) place {
	t.Helper()
	return place{harness.NewPlace(t, binaries, rings, more...)}
}

// pipeTo gives a program that is to be started a stdin that the test writes to.
func pipeTo(t testing.TB, cmd *exec.Cmd) io.WriteCloser {
	t.Helper()
	w, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// since is how long ago that was, for a log.
func since(begin time.Time) time.Duration { return time.Since(begin).Round(10 * time.Microsecond) }
