// Package daemon puts brokerd together: it starts the parts in order, says to
// the outside how far it has come, and stops them in the reverse order.
//
// It owns the process: the control socket's folder, or the socket itself when a
// service manager hands one over (socket.go), the broker, the control server, the
// gateway, the admin HTTP listener, the messages to the service manager and the
// reaction to signals. cmd/brokerd is its only caller.
//
// The order of the start (daemon.go): place of the socket, broker (which takes
// the ring directory over and adopts what it finds), admin HTTP, control socket,
// configured rings, gateway, SIGHUP. From the control socket on, a client is answered: with
// the state "starting" until everything is there. Every loop runs in a goroutine
// that spawn starts and stop joins.
//
// A reload (reload.go), asked for by SIGHUP or over the control socket, reads the
// file again, one at a time. The whole file is judged before anything changes: by
// config, by Check, by the gateway, and by the broker, which makes all new rings or none. live.go
// has the list of keys and says which of them stay until a restart, and why.
//
// It distrusts the environment: a socket folder that belongs to somebody else,
// descriptors handed over that are not the configured socket, NOTIFY_SOCKET,
// WATCHDOG_USEC, a file that is another one at each reload, and whoever connects to the admin listener,
// which has timeouts and bounded connections and serves figures only.
package daemon
