package broker

// EventKind says what happened.
type EventKind string

// The kinds of events. Ring is set in all but EventLeftAlone and some of EventCollected and EventFailed, ID where an
// attachment is meant.
const (
	EventCreated     EventKind = "created"
	EventAdopted     EventKind = "adopted"
	EventQuarantined EventKind = "quarantined" // a ring was set aside; Detail: the folder, Err: why
	EventSucceeded   EventKind = "succeeded"   // a retired ring has its successor; Detail: the epochs, Err: why it was retired
	EventCollected   EventKind = "collected"   // what lay beside the rings was deleted, at the start or because an administrator asked; Detail: the folder
	EventRemoved     EventKind = "removed"
	EventUpdated     EventKind = "updated"   // by the configuration; Detail: what
	EventRetired     EventKind = "retired"   // Err: what was found in the ring
	EventLeftAlone   EventKind = "leftalone" // Detail: something in the directory that is no ring
	EventAttached    EventKind = "attached"
	EventReattached  EventKind = "reattached" // the same slot, on a new connection
	EventDetached    EventKind = "detached"   // Detail: why
	EventEnded       EventKind = "ended"      // by the daemon; Detail: why
	EventDied        EventKind = "died"       // the process is gone, its slot is free
	EventCursorKept  EventKind = "cursorkept" // a reader ended and may be resumed; Detail: its name, until when, and why it ended
	EventResumed     EventKind = "resumed"    // a reader took over a cursor
	EventExpired     EventKind = "expired"    // a cursor is gone; Detail: why
	EventRepaired    EventKind = "repaired"   // after its producer died or left a claim; Detail: how many records became a gap
	EventDemoted     EventKind = "demoted"    // a reader held the producer too long and is a skip reader now
	EventFailed      EventKind = "failed"     // Err: an operation on files that did not work; nothing else depends on it
)

// NothingLeftOpen is the Detail of an EventRepaired after which nothing is missing.
const NothingLeftOpen = "nothing was left open"

// Event is one thing that happened, for the log.
type Event struct {
	Kind   EventKind
	Ring   string
	ID     string // of the attachment, RING/c3.7
	Detail string
	Err    error
}
