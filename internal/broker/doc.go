// Package broker is the one owner of state: which rings exist, who is attached
// to them, how much memory they hold, and what is repaired when a process dies.
//
// It owns a directory on tmpfs, one per daemon (a lock file keeps a second one
// out):
//
//	DIR/.lock                 flock of the running daemon, its pid as text
//	DIR/NAME/                 a ring: the files of internal/shmring, and
//	DIR/NAME/meta.json        the ring as it was asked for (the live keys kept current)
//	DIR/NAME/slots            who holds which slot, see slots.go
//	DIR/NAME/sessions         how far remote producers were published, see sessions.go
//	DIR/.new-NAME-*           a ring being built; renamed into place as a whole
//	DIR/.rm-NAME-*            a ring being deleted; renamed out of place first
//	DIR/NAME/quarantine.json  why a ring is of no use any more, see quarantine.go
//	DIR/.quarantine-NAME-*    a ring that was set aside; deleted by CollectGarbage only
//
// Every change is written down before it takes effect in the ring, and undone
// in the ring before it is struck off, so a daemon killed at any instruction
// leaves a directory that Open understands.
//
// # Who may call it
//
// The control server, the gateway and the daemon. All methods may be called from any
// goroutine; one mutex guards everything, and nothing that waits happens under
// it: rings are built and deleted outside, processes are waited for outside.
// Events are delivered after the mutex is released, by the goroutine that
// caused them.
//
// # What an attachment is
//
// A slot held by a process on behalf of a connection. Who holds it is the
// process (pid and start time) and the connection, never the name, which is a
// label. Its ID is RING/c3.7: a consumer, slot 3, generation 7. A generation is
// counted per slot and survives restarts of the daemon; a ring that is removed
// and created again starts anew, so an ID is unique within the ring's epoch.
//
//	attached   held by a connection
//	kept       its connection is gone, the ring still honours it: a reader
//	           gates, a producer may hold a claim. After a restart of the
//	           daemon, a producer whose connection closed, and a reader that
//	           leaves a cursor and has resume_for to come back
//	resumable  a cursor: its reader is gone or has detached, the ring honours it
//	           as before until its deadline, for the next reader of that name
//	           and user to take over. No process holds it
//	zombie     the ring honours it no longer, but the process still lives and
//	           has the pages mapped, so nobody else may have the slot
//
// To the outside kept and zombie are both called detached. Death of the process
// ends them and attached: claims are repaired, gates fall, the slot is free. Only
// a named reader of a ring with resume_for, if the ring honours it still, becomes
// resumable then. All of them count as attachments.
//
//	ends by             reader that keeps a cursor   other reader   producer
//	its own Detach      resumable                    free           free, repaired
//	closed connection   kept, then zombie            zombie         kept
//	death               resumable                    free           free, repaired
//	Evict               zombie                       zombie         zombie
//	deadline            free (a zombie if it lives)  -              -
//
// # What other hosts have of it
//
// A mirror is a ring with the epoch, key and positions of a ring of another host.
// No local process produces to it: the gateway writes to it, under a Mirror that
// OpenMirror hands out, and holds no slot for that. Its epoch is another host's word
// and never that of a ring made here. While the gateway writes to it, it goes by
// force only. It is kept, adopted and removed like any ring, but the configuration
// names it in gateway.peers and not in rings.
//
// What the gateway lends to other hosts it attaches as GatewayConn, as the daemon's
// own process and user. Such an attachment ends with the daemon, whoever has its
// pid next. When somebody ends it while the daemon runs, it is a zombie, because its
// process lives, until the gateway has let go of the pages and calls Detach.
//
// # What the configuration changes
//
// Reconcile takes the rings of a configuration, whole or not at all; SetLimits
// the limits. Neither ends an attachment: who may have one is control's to
// judge, and it calls Evict.
//
// # What it distrusts
//
// The rings: processes write to them. A ring in which shmring finds garbage is
// retired (nobody attaches any more), is set aside, and has a successor with the same
// description and a new epoch (succession.go); the others go on. Cursors, positions
// and remote sessions stay with the old one: they mean nothing in the new one. How
// many rings of a name lie aside is bounded, and their memory counts. The directory: it
// must belong to the daemon's user and be writable by nobody else; what is in
// it and not understood is left alone or quarantined, and reported. It trusts
// meta.json and slots, which only a daemon can write (0600 in a 0700 folder). A ring of
// another boot is set aside as well: a tmpfs does not outlive a boot, so it is a copy,
// maybe from the middle of a write, and there may be another ring of its epoch. Its
// slots name processes by pid and start time, which mean nothing in this boot.
package broker
