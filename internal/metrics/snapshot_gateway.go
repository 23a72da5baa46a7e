package metrics

// Link is a ring that is mirrored here, or from here. Peer, Role, Ring and
// Origin together are unique in a Snapshot.
type Link struct {
	Peer, Role string
	Ring       string // its name here
	Origin     string // its name where records come from
	State      string // connecting, connected, waiting or refused
	SinceNanos int64  // in that state, since 1970, UTC

	PositionBytes, LagBytes, LagRecords uint64
	RTTNanos                            int64 // 0: not measured yet
	Reconnects, Gaps, GapRecords        uint64
	BytesIn, BytesOut, CRCErrors        uint64
}

// RemoteClients counts attachments of remote clients. Ring and Role together
// are unique in a Snapshot.
type RemoteClients struct {
	Ring, Role string // role: reader or producer
	Count      int
}

// Refusal counts refused connections of other hosts. Reason is unique in a
// Snapshot.
type Refusal struct {
	Reason string
	Count  uint64
}

// Certificate is a file of the gateway with a certificate. File is unique in a
// Snapshot.
type Certificate struct {
	File          string
	NotAfterNanos int64 // since 1970, UTC
}

// Feed is a TCP stream of frames. Name is unique in a Snapshot.
type Feed struct {
	Name, Ring, Direction string
	State                 string // connecting, connected, listening or waiting
	SinceNanos            int64  // in that state, since 1970, UTC
	Connections           int

	Frames, Bytes, BadFrames, Reconnects, Dropped uint64
}
