package hostile

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"brokerd/tests/internal/harness"
)

var (
	seedFlag = flag.Uint64("seed", 0, "seed of what is random; 0 draws one")
	forFlag  = flag.Duration("for", 5*time.Second, "how long hostile producers and readers go on")
)

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

// roles are what this binary can be besides a test. The first argument is the
// control socket.
var roles = harness.Roles{
	"vandal":      vandalise,
	"page vandal": vandalisePage,
	"burglar":     breakIn,
	"heir":        inherit,
	"leaver":      keepLent,
	"asker":       askAll,
	"crowd":       crowdIn,
	"victims":     suffer,
	"good feed":   honest(feedWell),
	"good reader": honest(readWell),
}

func TestMain(m *testing.M) { os.Exit(roles.Main(m, &binaries)) }

// role prepares this binary for a role.
func role(p harness.Place, name string, args ...any) *exec.Cmd {
	texts := make([]string, len(args))
	for i, a := range args {
		texts[i] = fmt.Sprint(a)
	}
	return p.Role(name, texts...)
}

// niceMost is the niceness of those who give way.
const niceMost = 19

// giveWay lets others have the processor.
func giveWay() { _ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, niceMost) }

// drawSeed is the seed of a test, which prints it.
func drawSeed() uint64 {
	if *seedFlag != 0 {
		return *seedFlag
	}
	return uint64(time.Now().UnixNano())
}

// TestUnknownRoleFails keeps a misspelt role from passing as a good one.
func TestUnknownRoleFails(t *testing.T) {
	harness.Launch(t, role(harness.Place{T: t, Binaries: binaries, Socket: "/nonexistent"}, "nobody")).Expect(1)
}
