// Package client is the Go API of brokerd: it attaches a process to shared
// memory rings and speaks to the daemon that lends them.
//
//	c, err := client.Dial(ctx, client.Options{})
//	p, err := c.Producer(ctx, "md", client.ProducerOptions{Name: "feed"})
//	err = p.Send(ctx, payload)
//
// # What it owns
//
// A Client owns one connection to the daemon, the attachments made over it and
// one goroutine that reads the connection. Producers and Consumers move records
// through mapped memory; neither the connection nor the daemon is on that path.
// Any program may call this package; it is the only public one.
//
// # When the daemon goes away
//
// Records move on. The Client dials again, first after 10 ms, then at growing
// intervals of at most 250 ms, until Close; it then registers each attachment
// again, so that the daemon shows it as before: same name, slot, epoch and
// position. If the daemon refuses that (the ring is another one now), the
// attachment ends: see ErrLost.
//
// A call made meanwhile waits for the daemon until its context ends and then
// fails with ErrUnreachable. A call that was under way when the connection
// broke is made again if that is harmless (lists, statistics, attaching), and
// otherwise fails with ErrUnreachable: it may or may not have been carried out.
//
// # Concurrency
//
// The methods of Client may be called from any goroutine, Close once all its
// Producers and Consumers rest. A Producer or a Consumer is used by one
// goroutine at a time.
//
// # What it distrusts
//
// What the daemon replies is checked as far as memory safety needs it; what
// other processes wrote into a ring is checked by the ring itself and comes
// back as ErrCorrupt or ErrFault, never as a crash.
package client
