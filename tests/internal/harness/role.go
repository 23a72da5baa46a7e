package harness

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// RoleVariable makes a test binary play the role that it names instead of running
// tests.
const RoleVariable = "BROKERD_TEST_ROLE"

// Roles are what a test binary can be besides a test, by name. An error ends its
// process with exit code 1, and is what it says on its standard error.
type Roles map[string]func(args []string) error

// Main is Main for a binary that has roles: it plays the one it was started for.
func (r Roles) Main(m *testing.M, b *Binaries) int {
	if code, asked := r.Play(); asked {
		return code
	}
	return Main(m, b)
}

// Play plays the role that this process was started for, if it was for one, and
// returns the exit code.
func (r Roles) Play() (code int, asked bool) {
	name := os.Getenv(RoleVariable)
	if name == "" {
		return 0, false
	}
	err := fmt.Errorf("there is no role %q", name)
	if play, known := r[name]; known {
		err = play(os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, true
	}
	return 0, true
}

// Role prepares the test binary, with the socket of p as its first argument, for
// one of its Roles.
func (p Place) Role(role string, args ...string) *exec.Cmd {
	cmd := exec.Command(p.Binaries.Self, append([]string{p.Socket}, args...)...)
	cmd.Env = append(os.Environ(), RoleVariable+"="+role)
	return cmd
}
