//go:build ringstep

package shmring

import (
	"slices"
	"testing"

	"brokerd/internal/stepping"
)

// A process that dies, or is stopped, between every two of its stores to shared
// memory (mem_step_unsafe.go, internal/stepping).

func TestMain(m *testing.M) {
	mainOfChildren(m, map[string]func(args []string) error{
		stepping.Env:    stepMain,
		hammerEnv:       hammerChild,
		mirrorHammerEnv: mirrorHammerChild,
	})
}

func TestSteps(t *testing.T) { stepping.Test(t, stepOps()) }

func stepMain(args []string) error {
	return stepping.Main(args, stepOps(), stepping.Hooks{Arm: ArmSteps, Disarm: DisarmSteps})
}

func stepOps() []stepping.Op {
	return slices.Concat(stepsOfProducers(false), stepsOfProducers(true), stepsOfReaders(), stepsOfDaemon(), stepsOfRepair(), stepsOfMirror(), stepsOfJournal())
}

// stepChild is the process that is stopped. What a producer or a reader is lent comes
// from ring.
type stepChild struct {
	*stepping.Child
	ring *Ring
}

// stepIn opens the ring for an operation.
func stepIn(fn func(c *stepChild) (run func() error, err error)) func(*stepping.Child) (func() error, error) {
	return func(c *stepping.Child) (func() error, error) {
		ring, err := Open(c.Dir)
		if err != nil {
			return nil, err
		}
		return fn(&stepChild{c, ring})
	}
}
