// Package limits takes everything that brokerd can run out of to its limit, and one
// past it, with the built commands: what the configuration allows, slots, the bytes
// and files of a tmpfs, memory, file descriptors. Each time the client is told what
// is short and what to do, a metric and the log show it, whoever is attached goes on,
// and when there is room again the same call succeeds.
//
// It also counts what the daemon, and a client, have left after thousands of cycles
// of everything that comes and goes.
//
// It mounts small tmpfs of its own and acts as other users, so it wants root. Limits
// of a process that runs are changed with prlimit, on the daemons of these tests only.
package limits
