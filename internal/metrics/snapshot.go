package metrics

// Source says how things stand. It is called once a scrape, possibly from
// several goroutines at once.
type Source func() (Snapshot, error)

// Snapshot is everything a scrape shows, except the control requests. Sizes
// and positions are bytes.
type Snapshot struct {
	Ready bool

	MemoryBytes, MemoryBytesMax uint64
	RingsMax                    int
	AttachmentsMax              int
	Connections, ConnectionsMax int

	Adoptions, Repairs    uint64 // since the daemon started
	Retired               uint64 // since the daemon started
	Quarantined, Problems int
	QuarantinedBytes      uint64

	// Refused counts what was refused for want of something, since the daemon
	// started: by the limit, or by what there was too little of.
	Refused map[string]uint64

	ReloadsOK, ReloadsFailed uint64 // since the daemon started
	LastReloadNanos          int64  // of the last good one, since 1970, UTC; 0 for none

	Users       []User
	Rings       []Ring
	Attachments []Attachment

	Links         []Link
	RemoteClients []RemoteClients
	Refusals      []Refusal
	Certificates  []Certificate
	Feeds         []Feed
}

// User is what one user has. UID is unique in a Snapshot.
type User struct {
	UID            uint32
	MemoryBytes    uint64 // of the rings that it owns
	MemoryBytesMax uint64 // 0: no quota
	Attachments    int    // in every state
	AttachmentsMax int    // 0: no quota
	Connections    int
	ConnectionsMax int // 0: no quota
}

// Ring is one ring: what it has done since its epoch began.
type Ring struct {
	Name string
	Live bool // false: corrupt or removed

	PublishedRecords, PublishedBytes uint64
	CapacityBytes, OccupancyBytes    uint64
	Producers, Consumers             int
	GapRecords                       uint64
	HeldNanos                        uint64 // time its producers waited for readers
	DroppedRecords                   uint64
	Demotions                        uint64
}

// Attachment is one process's hold on one ring. Ring, Role and Slot together
// are unique in a Snapshot.
type Attachment struct {
	Ring, Name, Role string
	Slot             int
	State            string

	PositionBytes, LagBytes    uint64
	MissedRecords, MissedBytes uint64
	ChecksumErrors             uint64
	Demoted                    bool // a demote reader that became a skip reader
}
