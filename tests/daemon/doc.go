// Package daemon tests the built brokerd binary from outside: its flags, its
// start and its end, what it refuses, what a reload changes and leaves alone, what
// it tells the service manager and Prometheus, the socket that it is handed, and what a
// successor finds after a kill.
//
// It owns no code but tests. Every test has a private socket, ring directory
// and configuration.
package daemon
