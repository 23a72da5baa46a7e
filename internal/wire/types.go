package wire

import "encoding/json"

// List is a slice that is [] in JSON when it is nil, never null.
type List[T any] []T

// MarshalJSON implements json.Marshaler.
func (l List[T]) MarshalJSON() ([]byte, error) {
	if l == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]T(l))
}

// Principals are users and groups, each by name or by number in decimal.
type Principals struct {
	Users  List[string] `json:"users"`
	Groups List[string] `json:"groups"`
}

// Allow is who may do what with a ring. What is nil is allowed to the daemon's
// user and root only.
type Allow struct {
	Produce *Principals `json:"produce,omitempty"`
	Consume *Principals `json:"consume,omitempty"`
	Gate    *Principals `json:"gate,omitempty"`
}

// RingSpec is what CreateRing takes. What is absent takes its default.
type RingSpec struct {
	Name          string    `json:"name"`
	Capacity      uint64    `json:"capacity"`             // bytes
	RecordMax     *uint64   `json:"record_max,omitempty"` // bytes
	Producers     Producers `json:"producers,omitempty"`
	ConsumersMax  *int      `json:"consumers_max,omitempty"`
	Timestamps    *bool     `json:"timestamps,omitempty"` // default true
	Checksum      bool      `json:"checksum,omitempty"`
	Policy        Policy    `json:"policy,omitempty"`
	DemoteAfterNS *int64    `json:"demote_after_ns,omitempty"`
	ResumeForNS   *int64    `json:"resume_for_ns,omitempty"` // 0: cursors do not outlive their process
	Allow         *Allow    `json:"allow,omitempty"`
}

// Ring is a ring as it was made.
type Ring struct {
	Name          string    `json:"name"`
	Epoch         uint64    `json:"epoch"`
	Capacity      uint64    `json:"capacity"`   // bytes
	RecordMax     uint64    `json:"record_max"` // bytes
	Producers     Producers `json:"producers"`
	ConsumersMax  int       `json:"consumers_max"`
	Timestamps    bool      `json:"timestamps"`
	Checksum      bool      `json:"checksum"`
	Policy        Policy    `json:"policy"`
	DemoteAfterNS int64     `json:"demote_after_ns"`
	ResumeForNS   int64     `json:"resume_for_ns"`
	Allow         Allow     `json:"allow"`
	CreatedNS     int64     `json:"created_ns"` // since 1970, UTC
	MemoryBytes   uint64    `json:"memory_bytes"`
	Owner         uint32    `json:"owner"`   // uid that its memory counts against
	Managed       bool      `json:"managed"` // named by the daemon's configuration
	Mirror        *MirrorOf `json:"mirror,omitempty"`
}

// MirrorOf is what a ring mirrors: a ring of another host, whose epoch, positions
// and records it has. Only a gateway writes to it.
type MirrorOf struct {
	Peer string `json:"peer"` // name of the other brokerd in gateway.peers
	Ring string `json:"ring"` // its name there
}

// Attachment is one process's hold on one ring. Policy is "" for a producer,
// WaitStrategy is "" when none was named.
type Attachment struct {
	ID             string          `json:"id"`
	Ring           string          `json:"ring"`
	Epoch          uint64          `json:"epoch"`
	Role           Role            `json:"role"`
	Slot           int             `json:"slot"`
	Generation     uint32          `json:"generation"`
	Name           string          `json:"name"`
	PID            int             `json:"pid"`
	UID            uint32          `json:"uid"`
	State          AttachmentState `json:"state"`
	Policy         Policy          `json:"policy,omitempty"`
	WaitStrategy   WaitStrategy    `json:"wait_strategy,omitempty"`
	SinceNS        int64           `json:"since_ns"`        // since 1970, UTC
	ResumeUntilNS  int64           `json:"resume_until_ns"` // since 1970, UTC; 0 unless resumable
	Position       uint64          `json:"position"`        // bytes
	Sequence       uint64          `json:"sequence"`        // records
	LagBytes       uint64          `json:"lag_bytes"`
	MissedRecords  uint64          `json:"missed_records"`
	MissedBytes    uint64          `json:"missed_bytes"`
	GapRecords     uint64          `json:"gap_records"`
	ChecksumErrors uint64          `json:"checksum_errors"`
	Demoted        bool            `json:"demoted"`
	EndedReason    string          `json:"ended_reason"` // why the daemon ended it, "" while it has not
}

// RingStats is what a ring has done since its epoch began. Sequence counts
// records published, Position bytes written, headers and padding included.
type RingStats struct {
	Name           string    `json:"name"`
	Epoch          uint64    `json:"epoch"`
	State          RingState `json:"state"`
	Position       uint64    `json:"position"` // bytes
	Sequence       uint64    `json:"sequence"` // records
	Capacity       uint64    `json:"capacity"` // bytes
	OccupancyBytes uint64    `json:"occupancy_bytes"`
	Producers      int       `json:"producers"`
	Consumers      int       `json:"consumers"`
	GapRecords     uint64    `json:"gap_records"`
	HeldNS         uint64    `json:"held_ns"`
	DroppedRecords uint64    `json:"dropped_records"`
	Demotions      uint64    `json:"demotions"`
}

// Garbage is something in the directory of the rings that is not in use.
type Garbage struct {
	Kind    GarbageKind `json:"kind"`
	Path    string      `json:"path"`
	Ring    string      `json:"ring"`     // "" where it was none
	Owner   uint32      `json:"owner"`    // uid that its memory counts against
	Bytes   uint64      `json:"bytes"`    // of memory that it takes; 0 for what is no ring
	SinceNS int64       `json:"since_ns"` // since 1970, UTC
	Why     string      `json:"why"`
	Deleted bool        `json:"deleted"`
	Advice  string      `json:"advice"` // what to do about it, "" when it is deleted
}

// Files are indexes into the file descriptors that ride with the reply.
// Cursors are in slot order.
type Files struct {
	Data    int       `json:"data"`
	Cursors List[int] `json:"cursors"`
}
