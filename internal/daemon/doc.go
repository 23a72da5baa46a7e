// Package daemon puts brokerd together: it starts the parts in order, says to
// the outside how far it has come, and stops them in the reverse order.
//
// It owns the process: the folder of the control socket, the broker, the
// control server, the admin HTTP listener, the messages to the service manager
// and the reaction to signals. cmd/brokerd is its only caller.
//
// The order of the start (daemon.go): folder of the socket, broker (which takes
// the ring directory over and adopts what it finds), admin HTTP, control socket,
// configured rings. From the control socket on, a client is answered: with the
// state "starting" until everything is there. Every loop runs in a goroutine
// that spawn starts and close joins.
//
// It distrusts the environment: a socket folder that belongs to somebody else,
// NOTIFY_SOCKET, WATCHDOG_USEC, and whoever connects to the admin listener,
// which has timeouts and bounded connections and serves figures only.
package daemon
