//go:build !ringmodel

package shmring

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// mainOfChildren is TestMain, also of the child that an environment variable makes of
// this program.
func mainOfChildren(m *testing.M, children map[string]func(args []string) error) {
	for env, child := range children {
		args := os.Getenv(env)
		if args == "" {
			continue
		}
		if err := child(strings.Fields(args)); err != nil {
			fmt.Fprintf(os.Stderr, "%s=%s: %v\n", env, args, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// hammerNumbers are the arguments of a child.
func hammerNumbers(args []string) ([]uint64, error) {
	n := make([]uint64, len(args))
	for i := range n {
		var err error
		if n[i], err = strconv.ParseUint(args[i], 10, 64); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// victim is a process of a hammer, from its start to its kill.
type victim struct {
	cmd  *exec.Cmd
	said strings.Builder // what it complains of
}

// startVictim starts this program as the child that env makes of it. The child gets
// own, which stay open here, and lent, which do not.
func startVictim(env string, lent []*os.File, own ...*os.File) (*victim, error) {
	v := &victim{cmd: exec.Command("/proc/self/exe")}
	v.cmd.Env = []string{env, "GOMAXPROCS=1"}
	v.cmd.Stderr = &v.said
	v.cmd.ExtraFiles = append(own, lent...)
	err := v.cmd.Start()
	for _, f := range lent {
		_ = f.Close()
	}
	return v, err
}

func (v *victim) kill() error {
	if err := v.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("it ended by itself: %w", err)
	}
	_ = v.cmd.Wait() // killed: that is the error
	if v.said.Len() > 0 {
		return errors.New(v.said.String())
	}
	return nil
}

// waitConsumers waits until the first n consumers of a ring are at a position, for a
// while: who looks at them afterwards sees who is not.
func waitConsumers(ring *Ring, n int, position uint64) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		behind := false
		for slot := range n {
			c, err := ring.ConsumerStats(slot)
			behind = behind || err != nil || c.Position != position
		}
		if !behind {
			return
		}
	}
}
