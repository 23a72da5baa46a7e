// Command brokerctl creates, lists and removes rings, moves records between
// them and its standard streams, and shows what the daemon brokerd is doing.
// It is built on the package client alone.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	// A closed stdout is then an error of a write and not the end of the process.
	signal.Ignore(syscall.SIGPIPE)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
