//go:build !ringstep

package broker

// stepProcess: only the tests of step_linux_test.go make processes of their own.
func stepProcess() bool { return false }
