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
// client library maps what it was lent (OpenProducer, OpenConsumer). Nothing
// here knows of sockets, JSON or configuration.
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
// cursors in cursor.go, sleeping in wait.go.
package shmring
