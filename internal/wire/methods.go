package wire

// In and Out of every method, named after it. The comments of the description
// (io.brokerd.Broker.varlink) say what the methods do.

// CreateRingIn is what CreateRing takes.
type CreateRingIn struct {
	Ring RingSpec `json:"ring"`
}

// CreateRingOut is what CreateRing answers.
type CreateRingOut struct {
	Ring Ring `json:"ring"`
}

// RemoveRingIn is what RemoveRing takes.
type RemoveRingIn struct {
	Name  string `json:"name"`
	Force bool   `json:"force,omitempty"`
}

// RemoveRingOut is what RemoveRing answers.
type RemoveRingOut struct{}

// ListRingsIn is what ListRings takes.
type ListRingsIn struct{}

// ListRingsOut is what ListRings answers.
type ListRingsOut struct {
	Rings List[Ring] `json:"rings"`
}

// DescribeRingIn is what DescribeRing takes.
type DescribeRingIn struct {
	Name string `json:"name"`
}

// DescribeRingOut is what DescribeRing answers.
type DescribeRingOut struct {
	Ring        Ring             `json:"ring"`
	Stats       RingStats        `json:"stats"`
	Attachments List[Attachment] `json:"attachments"`
	Problems    List[string]     `json:"problems"` // one sentence each, for an operator
}

// CollectGarbageIn is what CollectGarbage takes.
type CollectGarbageIn struct {
	DryRun bool `json:"dry_run,omitempty"`
}

// CollectGarbageOut is what CollectGarbage answers.
type CollectGarbageOut struct {
	Garbage List[Garbage] `json:"garbage"`
	More    int           `json:"more"` // things that are no rings, beyond those listed
}

// AttachIn is what Attach takes. Epoch is nil for whatever the ring has now.
type AttachIn struct {
	Ring         string       `json:"ring"`
	Role         Role         `json:"role"`
	Name         string       `json:"name,omitempty"`
	Policy       Policy       `json:"policy,omitempty"`
	WaitStrategy WaitStrategy `json:"wait_strategy,omitempty"`
	Token        string       `json:"token,omitempty"`
	Epoch        *uint64      `json:"epoch,omitempty"`
	Resume       bool         `json:"resume,omitempty"` // consumers: take over the cursor kept under Name
	NoMembarrier bool         `json:"no_membarrier,omitempty"`
	NoFutex      bool         `json:"no_futex,omitempty"`
}

// AttachOut is what Attach answers.
type AttachOut struct {
	Attachment Attachment `json:"attachment"`
	Ring       Ring       `json:"ring"`
	Files      Files      `json:"files"`
	Resumed    bool       `json:"resumed"` // there was a cursor to take over
}

// DetachIn is what Detach takes. Epoch is nil for whatever the ring has now.
type DetachIn struct {
	ID    string  `json:"id"`
	Epoch *uint64 `json:"epoch,omitempty"`
}

// DetachOut is what Detach answers.
type DetachOut struct{}

// ListAttachmentsIn is what ListAttachments takes. Ring is "" for all.
type ListAttachmentsIn struct {
	Ring string `json:"ring,omitempty"`
}

// ListAttachmentsOut is what ListAttachments answers.
type ListAttachmentsOut struct {
	Attachments List[Attachment] `json:"attachments"`
}

// StatsIn is what Stats takes. Ring is "" for all; IntervalMS is in
// milliseconds.
type StatsIn struct {
	Ring       string `json:"ring,omitempty"`
	IntervalMS *int64 `json:"interval_ms,omitempty"`
}

// StatsOut is what Stats answers.
type StatsOut struct {
	TimeNS      int64            `json:"time_ns"` // since 1970, UTC
	Rings       List[RingStats]  `json:"rings"`
	Attachments List[Attachment] `json:"attachments"`
}

// ListLinksIn is what ListLinks takes.
type ListLinksIn struct{}

// ListLinksOut is what ListLinks answers.
type ListLinksOut struct {
	Listen   string            `json:"listen"` // address that other hosts connect to, "" for none
	Links    List[Link]        `json:"links"`
	Feeds    List[FeedStatus]  `json:"feeds"`
	Refusals List[LinkRefusal] `json:"refusals"`
	// Certificates are those that the gateway uses, and their authorities.
	Certificates List[LinkCertificate] `json:"certificates"`
}

// ReloadIn is what Reload takes.
type ReloadIn struct{}

// ReloadOut is what Reload answers, one sentence for each thing.
type ReloadOut struct {
	File    string       `json:"file"`    // "" for the embedded default
	Changed List[string] `json:"changed"` // took effect
	Kept    List[string] `json:"kept"`    // asked for, and not possible live
}

// GetStatusIn is what GetStatus takes.
type GetStatusIn struct{}

// GetStatusOut is what GetStatus answers.
type GetStatusOut struct {
	Version          string       `json:"version"`
	State            DaemonState  `json:"state"`
	PID              int          `json:"pid"`
	StartedNS        int64        `json:"started_ns"` // since 1970, UTC
	Dir              string       `json:"dir"`
	Rings            int          `json:"rings"`
	RingsMax         int          `json:"rings_max"`
	Attachments      int          `json:"attachments"`
	AttachmentsMax   int          `json:"attachments_max"`
	Connections      int          `json:"connections"`
	ConnectionsMax   int          `json:"connections_max"`
	MemoryBytes      uint64       `json:"memory_bytes"`
	MemoryBytesMax   uint64       `json:"memory_bytes_max"`
	RingsAdopted     int          `json:"rings_adopted"`
	Repairs          uint64       `json:"repairs"`
	Retired          uint64       `json:"retired"` // rings found to be of no use since the start, and by it
	Quarantined      List[string] `json:"quarantined"`
	QuarantinedBytes uint64       `json:"quarantined_bytes"` // part of MemoryBytes
	Problems         List[string] `json:"problems"`
	ConfigFile       string       `json:"config_file"` // "" for the embedded default
	ReloadedNS       int64        `json:"reloaded_ns"` // last reload that took effect, since 1970, UTC; 0 for none
}

// GetInfoIn is what org.varlink.service.GetInfo takes.
type GetInfoIn struct{}

// GetInfoOut is what org.varlink.service.GetInfo answers.
type GetInfoOut struct {
	Vendor     string       `json:"vendor"`
	Product    string       `json:"product"`
	Version    string       `json:"version"`
	URL        string       `json:"url"`
	Interfaces List[string] `json:"interfaces"`
}

// GetInterfaceDescriptionIn is what
// org.varlink.service.GetInterfaceDescription takes.
type GetInterfaceDescriptionIn struct {
	Interface string `json:"interface"`
}

// GetInterfaceDescriptionOut is what
// org.varlink.service.GetInterfaceDescription answers.
type GetInterfaceDescriptionOut struct {
	Description string `json:"description"`
}
