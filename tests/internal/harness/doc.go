// Package harness runs the built commands for tests: it builds them, gives a
// daemon a place of its own and certificates, starts, stops and kills processes,
// and waits for what they do.
//
// It owns the processes and folders that it makes; each ends with its test, and
// the processes also with the test binary. Only tests below tests/ may call it.
// A failure of the harness fails the test that called it, so that tests say what
// they are about and not how a process is started.
//
// It distrusts the machine: every wait ends after Patience at the latest.
package harness
