// Package client is the Go API of brokerd: it attaches a process to shared
// memory rings and speaks to the daemon that lends them.
//
//	c, err := client.Dial(ctx, client.Options{})
//	p, err := c.Producer(ctx, "md", client.ProducerOptions{Name: "feed"})
//	err = p.Send(ctx, payload)
//
//	r, err := c.Consumer(ctx, "md", client.ConsumerOptions{Name: "book"})
//	record, err := r.Receive(ctx)
//
// Each has an example with its output: go doc -all, or the example files beside
// this one.
//
// On a host without a daemon a Remote does the same over TCP, at the gateway of
// another host's: DialTCP.
//
// # What it owns
//
// A Client owns one connection to the daemon, the attachments made over it and
// one goroutine that reads the connection. Producers and Consumers move records
// through mapped memory; neither the connection nor the daemon is on that path.
// A Remote owns one TCP connection and, while there is one, two goroutines: one
// reads, the other writes and sleeps. Each of its Producers and Consumers has a
// ring of its own in this process, of anonymous memory, which they fill and empty.
// Any program may call this package; it is the only public one.
//
// # When the daemon goes away
//
// Records move on. The Client dials again, first after 10 ms, then at growing
// intervals of at most 250 ms, until Close; it then registers each attachment
// again, so that the daemon shows it as before: same name, slot, epoch and
// position. If the daemon refuses that (the ring is another one now), the
// attachment ends with ErrLost: a Consumer hears of it once it has read what is
// there, a Producer with its next record. A daemon that is short of something
// (ErrLimitExceeded) is asked again.
//
// A call made meanwhile waits for the daemon until its context ends and then
// fails with ErrUnreachable. A call that was under way when the connection
// broke is made again if that is harmless (lists, statistics, attaching), and
// otherwise fails with ErrUnreachable: it may or may not have been carried out.
//
// # What a Consumer is told
//
// Besides records, and what was lost before each of them, there are two errors
// that reading goes on behind: ErrEndOfStream, which a producer published on
// purpose, and *ChecksumError, for a record that is left out. An attachment that
// has ended says why, with the same error each time: *RemovedError names the
// epoch of the ring that was removed and of the one that has its name now;
// ErrDetached bears the daemon's reason. To find out, the daemon is asked once,
// for at most half a second.
//
// # Restarts without a loss
//
// On a ring with resume_for a Consumer that has a name leaves its cursor when it
// is closed or its process dies. One of the same name and user that attaches
// FromResume in time goes on at the next record, with an exact count of what the
// ring no longer holds; with PolicyBlock it holds everything. A record counts as
// read when the next one is asked for: one that was in hand when the process died
// comes again.
//
// # From another host
//
// A Remote's Producers and Consumers have the methods, the positions, the policies
// and the errors of a Client's. What differs comes of the network in between:
//
// A Consumer reads a copy of the ring, with its epoch, positions, sequence numbers,
// time stamps and checksums. Its policy is that of a reader over there, which the
// copy is made for: what that one loses is told as missed. When the connection
// breaks it ends, and leaves its cursor, if it has a name and the ring resume_for.
// This one goes on behind the last record that came, with an exact count of what
// the ring no longer holds.
//
// A Producer's Send returns when the record is in the memory of this process, which
// holds 1 MiB of them, or what the ring holds, if that is less. The other side
// acknowledges each once it is in the ring; Flush waits for that, and Close for a
// while. After a broken connection, be it that the daemon over there was killed,
// the Producer goes on with the first record that is not in the ring yet: none is
// published twice. If this process dies, what was not acknowledged may be lost.
// Positions of a Producer count what it has published, not what the ring has.
//
// A connection counts as broken when the other side owes an answer and is silent for
// DeadAfter. The Remote dials again, first after 50 ms, then at growing intervals of
// about 5 s at most, until Close, and looks the name up anew each time. Tries are
// silent: a Producer that finds no room, a Consumer that finds no record wait, as
// long as their contexts do. A gateway that no longer knows this program ends its
// attachments with ErrLost.
//
// # Several rings
//
// A Poller waits for many Consumers in one goroutine. Where a ring has many
// producers each keeps its own order; what one has reserved and not yet committed
// holds up readers there, for everybody's records.
//
// # Concurrency
//
// The methods of Client and Remote may be called from any goroutine, Close once all
// its Producers and Consumers rest. A Producer or a Consumer is used by one
// goroutine at a time, and a Poller by that of its Consumers.
//
// # What it distrusts
//
// What the daemon replies is checked as far as memory safety needs it; what
// other processes wrote into a ring is checked by the ring itself and comes
// back as ErrCorrupt or ErrFault, never as a crash. What comes over TCP is checked
// frame by frame and record by record before a reader sees it.
package client
