// Package shmring is the ring: variable-size records, one producer or many, and
// consumers that each see every record, in memory that processes share.
//
// # What it owns
//
// The bytes of a ring and every rule about them: layout, claim and commit,
// gates, overruns, waiting, start positions, the checks on what others wrote.
// docs/MEMORY_LAYOUT.md describes the same bytes for other languages, and
// layout_test.go holds the two together.
//
// # Who calls it
//
// The broker creates, opens, lends and retires rings (Create, Open, Ring). The
// client library maps what it was lent (OpenProducer, OpenConsumer). The gateway
// writes mirrors and reads spans (OpenMirror, NextSpan). Nothing here knows of
// sockets, JSON or configuration.
//
// # A ring on disk
//
//	NAME/data   header page, consumer slots, producer slots, sync table, records
//	NAME/c00    one 4 KiB cursor page per consumer slot: its gate, its sleep
//	NAME/c01    word, its statistics. A reader can write its own page only.
//	...
//
// # Positions and records
//
// A position is a count of bytes that only grows; its place in the ring is
// position mod capacity. A record starts with a commit word that holds its own
// position, stored last:
//
//	 0        8     12    16            16+8 (timestamps)
//	+--------+-----+-----+-------------+----------------------+
//	| commit | len | aux | [timestamp] | payload [crc] to 16  |
//	+--------+-----+-----+-------------+----------------------+
//	commit = (position | kind) xor key
//
// A reader polls the record it waits for: no index, no second cache line. A
// stale word of an earlier lap holds another position, so nothing is ever
// cleared.
//
// # Rings on other hosts
//
// A reader of spans (span.go, rewind.go) hands out ring bytes; a Mirror writes them
// into a ring of the same geometry, at the same positions, and jumps over what was
// lost (mirror.go, chunk.go, credit.go, jump.go). A Door is how the daemon sleeps for
// news of many rings, a Journal how it remembers what it published of each remote
// producer. The network itself is known to internal/link and internal/gateway only.
//
// # What it distrusts
//
// Every shared word. Each is loaded once, checked, then used; a bad one is
// ErrCorrupt. A mapping that somebody truncated faults; the fault becomes
// ErrFault at the public methods (fault.go), never a crash. A fault in a
// reader's own page evicts that reader only.
//
// Where a memory-ordering argument is needed it stands beside the atomics it is
// about: publishing in producer.go, claims among many producers in claim.go and
// many.go and their repair in repair.go, gates in gate.go, overruns in overrun.go,
// cursors in cursor.go and credit.go, sleeping in wait.go and door.go, mirrors in mirror.go.
package shmring
