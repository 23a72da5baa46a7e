package client

import (
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// The nouns of the control plane. Sizes and positions are bytes; fields that
// end in NS are nanoseconds (times since 1970, UTC).
type (
	// RingSpec is what CreateRing takes; what is absent takes its default.
	RingSpec = wire.RingSpec
	// Ring is a ring as it was made.
	Ring = wire.Ring
	// RingStats is what a ring has done since its epoch began.
	RingStats = wire.RingStats
	// RingDetails is a ring with its statistics and attachments.
	RingDetails = wire.DescribeRingOut
	// Allow is who may produce to, consume from and gate a ring.
	Allow = wire.Allow
	// Principals are users and groups, by name or decimal number.
	Principals = wire.Principals
	// Attachment is one process's hold on one ring.
	Attachment = wire.Attachment
	// Stats is a snapshot of rings and attachments.
	Stats = wire.StatsOut
	// Status is what the daemon says about itself.
	Status = wire.GetStatusOut
	// MirrorOf is the ring of another host that a ring mirrors.
	MirrorOf = wire.MirrorOf
	// Links is what the daemon moves to and from other hosts.
	Links = wire.ListLinksOut
	// Link is one ring that moves to or from another host.
	Link = wire.Link
	// FeedStatus is a ring that is filled from, or written to, raw TCP streams.
	FeedStatus = wire.FeedStatus
	// LinkRefusal counts handshakes that were refused for one reason.
	LinkRefusal = wire.LinkRefusal
	// LinkCertificate is a certificate that the gateway uses.
	LinkCertificate = wire.LinkCertificate
	// Garbage is something beside the rings that is not in use.
	Garbage = wire.Garbage
	// GarbageOut is what CollectGarbage found, and what became of it.
	GarbageOut = wire.CollectGarbageOut
	// GarbageKind tells what it is.
	GarbageKind = wire.GarbageKind
	// ReloadOut is what a reload changed, and what it could not.
	ReloadOut = wire.ReloadOut
)

// Words that rings and attachments are described with.
type (
	// Policy is what happens when a reader is slower than the producer.
	Policy = wire.Policy
	// WaitStrategy is how a process waits for the other side of a ring.
	WaitStrategy = wire.WaitStrategy
	// Producers is how many processes may write to a ring at a time.
	Producers = wire.Producers
	// Role is what an attached process does with a ring.
	Role = wire.Role
	// AttachmentState tells who holds an attachment: a connection, a process
	// without one, or nobody, for a cursor that can be resumed.
	AttachmentState = wire.AttachmentState
	// RingState tells whether a ring can be used.
	RingState = wire.RingState
	// LinkRole is what the daemon does at its end of a link.
	LinkRole = wire.LinkRole
	// LinkState is how a link is doing.
	LinkState = wire.LinkState
	// DaemonState is how far the daemon has come.
	DaemonState = wire.DaemonState
)

// The values of those words.
const (
	PolicyBlock  = wire.PolicyBlock  // the reader holds the producer for ever
	PolicyDemote = wire.PolicyDemote // it holds it for demote_after, then becomes a skip reader
	PolicySkip   = wire.PolicySkip   // it misses records, and is told how many
	PolicyLatest = wire.PolicyLatest // it is given the newest record only

	WaitAuto  = wire.WaitAuto  // spin, then yield, then park
	WaitSpin  = wire.WaitSpin  // never give up the core
	WaitYield = wire.WaitYield // let others run in between
	WaitPark  = wire.WaitPark  // sleep in the kernel

	ProducersOne  = wire.ProducersOne
	ProducersMany = wire.ProducersMany

	RoleProducer = wire.RoleProducer
	RoleConsumer = wire.RoleConsumer

	StateAttached  = wire.StateAttached
	StateDetached  = wire.StateDetached
	StateResumable = wire.StateResumable

	StateLive    = wire.StateLive
	StateRemoved = wire.StateRemoved
	StateCorrupt = wire.StateCorrupt

	GarbageQuarantined = wire.GarbageQuarantined // a ring that was set aside because it cannot be used
	GarbageUnfinished  = wire.GarbageUnfinished  // what is left of one that was being made or removed
	GarbageForeign     = wire.GarbageForeign     // no ring, and left alone

	LinkRoleMirror   = wire.LinkRoleMirror   // a ring of the peer comes here
	LinkRoleExport   = wire.LinkRoleExport   // a ring of ours goes to a peer that mirrors it
	LinkRoleReader   = wire.LinkRoleReader   // a remote client reads
	LinkRoleProducer = wire.LinkRoleProducer // a remote client produces

	LinkConnecting = wire.LinkConnecting
	LinkConnected  = wire.LinkConnected
	LinkWaiting    = wire.LinkWaiting
	LinkRefused    = wire.LinkRefused

	DaemonStarting = wire.DaemonStarting
	DaemonReady    = wire.DaemonReady
	DaemonDraining = wire.DaemonDraining
)

// What moves through a ring.
type (
	// Record is one received record.
	Record = shmring.Record
	// Start is where a Consumer begins.
	Start = shmring.Start
	// OnFull is what a Producer does when a reader holds it.
	OnFull = shmring.OnFull
	// ProducerStats counts what a Producer did.
	ProducerStats = shmring.ProducerStats
	// ConsumerStats counts what a Consumer did.
	ConsumerStats = shmring.ConsumerStats
)

// What a Producer does when a reader holds it.
const (
	OnFullBlock = shmring.OnFullBlock // wait, until the context ends
	OnFullDrop  = shmring.OnFullDrop  // drop the new record and count it
	OnFullFail  = shmring.OnFullFail  // fail with ErrFull
)

// FromOldest starts at the oldest record that the ring still holds.
func FromOldest() Start { return shmring.FromOldest() }

// FromLatest starts behind the newest record: what is published from now on.
func FromLatest() Start { return shmring.FromLatest() }

// FromResume goes on where an earlier Consumer of the same name and user stopped,
// if the ring still keeps its cursor (key resume_for), and from the oldest record
// otherwise; Consumer.Resumed tells which.
func FromResume() Start { return shmring.FromResume() }

// FromPosition starts at the record at pos exactly, or fails with a
// *PositionError.
func FromPosition(pos uint64) Start { return shmring.FromPosition(pos) }
