// Package control serves the control socket: it speaks varlink to local
// processes, decides what each may do, and passes what is allowed on to the
// broker. docs/PROTOCOL.md describes what goes over the socket.
//
// It owns the connections, their limits (limits.go, seats.go) and the rights
// (access.go, names.go, lookup.go), which a reload of the configuration changes
// while it serves (reload.go). It owns no rings and no attachments: those are the
// broker's, which learns from here when a connection ends.
//
// # Who may call it
//
// The daemon: New, then Serve once; SetLimits, SetAdminGID and Reauthorize with a
// new configuration, at any time; GroupID for its own look-ups. A Server is safe for concurrent use. Serve
// starts one goroutine per connection, one more while that connection is sent
// a stream of Stats, and one for the beat; all have ended when it returns.
//
// # What it distrusts
//
// Every byte of a client. A call is at most wire.CallBytesMax long and must be
// whole halfCallMax after it began; a reply must be taken within
// replyWriteMax; descriptors that a client sends are never received. Who a
// client is, it takes from the kernel alone (SO_PEERCRED, SO_PEERGROUPS,
// SO_PEERPIDFD), as of the connect. A client can end its own connection by
// what it sends, and nothing else: not another connection, not the daemon.
//
// It trusts the broker to refuse what the rings cannot give, and calls it with
// no lock of its own held but Server.lending, which the broker never waits for.
package control
