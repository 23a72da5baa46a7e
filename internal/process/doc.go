// Package process tells who a process is and when it dies. A process id alone
// does neither: it is given to another process soon after. A process is its id
// together with its start time, and its death is told by a pidfd, which the
// kernel never lets mean another process.
//
// Any package may import it. It distrusts process ids: each is opened, then its
// start time is read, then it is asked whether it still lives, so that all three
// are of one process. A zombie counts as gone: it will never run again.
//
// # Kernel
//
// The floor is Linux 5.14, that of RHEL 9; Debian 12 has 6.1. Needed are
// pidfd_open (5.3), SO_PEERGROUPS (4.13), and for the rings the global expedited
// membarrier (4.16). SO_PEERPIDFD (6.5) is used where it is there: without it, a
// peer that connects, dies, and whose id is given to another process before the
// daemon has accepted the connection is mistaken for that other one. Either way
// the mistake ends when the connection does.
//
// # Process id namespaces
//
// The kernel translates the id of a socket's peer into the namespace of who
// asks. A peer in a namespace below the daemon's (a container, and the daemon on
// the host) has an id here, and everything holds. A peer that is not visible from
// the daemon's namespace has the id 0: it cannot be watched, and FromPeer
// refuses it with ErrForeignNamespace. /proc must be that of the daemon's own
// namespace, and must show the processes of other users (no hidepid).
package process
