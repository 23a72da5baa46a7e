//go:build !ringmodel && !ringstep

package shmring

import "testing"

func TestMain(m *testing.M) {
	mainOfChildren(m, map[string]func(args []string) error{hammerEnv: hammerChild, mirrorHammerEnv: mirrorHammerChild})
}
