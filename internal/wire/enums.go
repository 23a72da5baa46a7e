package wire

import "slices"

// Policy is what happens when a reader is slower than the producer.
type Policy string

// The policies: hold the producer for ever, hold it for a while and then make
// the reader a skip reader, let the reader miss records, give it the latest.
const (
	PolicyBlock  Policy = "block"
	PolicyDemote Policy = "demote"
	PolicySkip   Policy = "skip"
	PolicyLatest Policy = "latest"
)

// Valid tells whether p is one of the policies.
func (p Policy) Valid() bool { return slices.Contains(p.values(), string(p)) }

func (Policy) values() []string { return []string{"block", "demote", "skip", "latest"} }

// Producers is how many processes may write to a ring at a time.
type Producers string

// The values of Producers.
const (
	ProducersOne  Producers = "one"
	ProducersMany Producers = "many"
)

// Valid tells whether p is one of the values of Producers.
func (p Producers) Valid() bool { return slices.Contains(p.values(), string(p)) }

func (Producers) values() []string { return []string{"one", "many"} }

// Role is what an attached process does with a ring.
type Role string

// The roles.
const (
	RoleProducer Role = "producer"
	RoleConsumer Role = "consumer"
)

// Valid tells whether r is one of the roles.
func (r Role) Valid() bool { return slices.Contains(r.values(), string(r)) }

func (Role) values() []string { return []string{"producer", "consumer"} }

// WaitStrategy is how a process waits for the other side of a ring.
type WaitStrategy string

// The wait strategies.
const (
	WaitSpin  WaitStrategy = "spin"
	WaitYield WaitStrategy = "yield"
	WaitPark  WaitStrategy = "park"
	WaitAuto  WaitStrategy = "auto"
)

// Valid tells whether w is one of the wait strategies.
func (w WaitStrategy) Valid() bool { return slices.Contains(w.values(), string(w)) }

func (WaitStrategy) values() []string { return []string{"spin", "yield", "park", "auto"} }

// AttachmentState tells who holds an attachment.
type AttachmentState string

// An attachment is attached; detached for a slot whose connection is gone while
// its process still lives; or resumable for the cursor that a named reader left.
const (
	StateAttached  AttachmentState = "attached"
	StateDetached  AttachmentState = "detached"
	StateResumable AttachmentState = "resumable"
)

// Valid tells whether s is one of the states of an attachment.
func (s AttachmentState) Valid() bool { return slices.Contains(s.values(), string(s)) }

func (AttachmentState) values() []string { return []string{"attached", "detached", "resumable"} }

// RingState tells whether a ring can be used.
type RingState string

// The states of a ring.
const (
	StateLive    RingState = "live"
	StateRemoved RingState = "removed"
	StateCorrupt RingState = "corrupt"
)

// Valid tells whether s is one of the states of a ring.
func (s RingState) Valid() bool { return slices.Contains(s.values(), string(s)) }

func (RingState) values() []string { return []string{"live", "removed", "corrupt"} }

// GarbageKind tells what something is that lies beside the rings.
type GarbageKind string

// Garbage is a ring that was set aside because it cannot be used, what is left of one
// that was being made or removed, or no ring at all.
const (
	GarbageQuarantined GarbageKind = "quarantined"
	GarbageUnfinished  GarbageKind = "unfinished"
	GarbageForeign     GarbageKind = "foreign"
)

// Valid tells whether k is one of the kinds of garbage.
func (k GarbageKind) Valid() bool { return slices.Contains(k.values(), string(k)) }

func (GarbageKind) values() []string { return []string{"quarantined", "unfinished", "foreign"} }

// DaemonState is how far the daemon has come.
type DaemonState string

// The daemon starts, is ready for every call, and drains before it ends.
const (
	DaemonStarting DaemonState = "starting"
	DaemonReady    DaemonState = "ready"
	DaemonDraining DaemonState = "draining"
)

// Valid tells whether s is one of the states of the daemon.
func (s DaemonState) Valid() bool { return slices.Contains(s.values(), string(s)) }

func (DaemonState) values() []string { return []string{"starting", "ready", "draining"} }
