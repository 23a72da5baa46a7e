package hostile

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

var (
	seedFlag = flag.Uint64("seed", 0, "seed of what is random; 0 draws one")
	forFlag  = flag.Duration("for", 5*time.Second, "how long hostile producers and readers go on")
)

// binaries are what is tested. TestMain sets them once.
var binaries harness.Binaries

// roleVariable makes this binary play a role instead of running tests.
const roleVariable = "BROKERD_HOSTILE_ROLE"

// roles are what this binary can be besides a test. The first argument is the
// control socket.
var roles = map[string]func(args []string) error{
	"vandal":      vandalise,
	"page vandal": vandalisePage,
	"burglar":     breakIn,
	"heir":        inherit,
	"leaver":      keepLent,
	"asker":       askAll,
	"crowd":       crowdIn,
	"victims":     suffer,
	"good feed":   feedWell,
	"good reader": readWell,
}

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

// role prepares this binary for a role.
func role(p harness.Place, name string, args ...any) *exec.Cmd {
	texts := make([]string, len(args))
	for i, a := range args {
		texts[i] = fmt.Sprint(a)
	}
	return p.Role(roleVariable, name, texts...)
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

// roleDial connects in a role.
func roleDial(socket string) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	return client.Dial(ctx, client.Options{Socket: socket, WaitFor: harness.Patience})
}

// TestUnknownRoleFails keeps a misspelt role from passing as a good one.
func TestUnknownRoleFails(t *testing.T) {
	harness.Launch(t, role(harness.Place{T: t, Binaries: binaries, Socket: "/nonexistent"}, "nobody")).Expect(1)
}
