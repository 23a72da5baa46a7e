package wire

import "slices"

// LinkRole is what this daemon does at its end of a link.
type LinkRole string

// A link mirrors a ring of the peer here; exports one of ours to a peer that
// mirrors it; or serves a client without a daemon of its own, which reads or
// produces.
const (
	LinkRoleMirror   LinkRole = "mirror"
	LinkRoleExport   LinkRole = "export"
	LinkRoleReader   LinkRole = "reader"
	LinkRoleProducer LinkRole = "producer"
)

// Valid tells whether r is one of the roles of a link.
func (r LinkRole) Valid() bool { return slices.Contains(r.values(), string(r)) }

func (LinkRole) values() []string { return []string{"mirror", "export", "reader", "producer"} }

// LinkState is how a link is doing.
type LinkState string

// A link connects; is connected; waits to try again, or for the peer to come
// back; or was refused, by the peer or here, and is asked for again at times.
const (
	LinkConnecting LinkState = "connecting"
	LinkConnected  LinkState = "connected"
	LinkWaiting    LinkState = "waiting"
	LinkRefused    LinkState = "refused"
)

// Valid tells whether s is one of the states of a link.
func (s LinkState) Valid() bool { return slices.Contains(s.values(), string(s)) }

func (LinkState) values() []string { return []string{"connecting", "connected", "waiting", "refused"} }

// Link is one ring that moves to or from another host. A connection may carry
// many; RTTNS and TLS are of the connection. Epoch, Position and Sequence are what
// has been mirrored here, or acknowledged by the other side.
type Link struct {
	Peer       string    `json:"peer"`
	Role       LinkRole  `json:"role"`
	Ring       string    `json:"ring"`    // its name at the origin
	Local      string    `json:"local"`   // its name here
	Address    string    `json:"address"` // of the other side, host:port; "" while there is none
	State      LinkState `json:"state"`
	Reason     string    `json:"reason"` // why it is in that state, "" where there is nothing to say
	TLS        bool      `json:"tls"`
	SinceNS    int64     `json:"since_ns"` // it is in that state, since 1970, UTC
	Epoch      uint64    `json:"epoch"`
	Position   uint64    `json:"position"`    // bytes
	Sequence   uint64    `json:"sequence"`    // records
	LagBytes   uint64    `json:"lag_bytes"`   // published at the origin and not there yet
	LagRecords uint64    `json:"lag_records"` // the same in records
	RTTNS      int64     `json:"rtt_ns"`      // 0 while it was not measured
	Reconnects uint64    `json:"reconnects"`
	Gaps       uint64    `json:"gaps"`        // times that the origin no longer held what was to come next
	GapRecords uint64    `json:"gap_records"` // records lost that way
	BytesIn    uint64    `json:"bytes_in"`
	BytesOut   uint64    `json:"bytes_out"`
	CRCErrors  uint64    `json:"crc_errors"`
	Label      string    `json:"label"` // the name that a remote client gave, "" otherwise
	ID         string    `json:"id"`    // of the attachment that reads or writes for it here, "" for none
}

// FeedStatus is a ring that is filled from, or written to, raw TCP streams. What
// is counted is counted since the daemon took the feed on.
type FeedStatus struct {
	Name        string `json:"name"`
	Ring        string `json:"ring"`
	Direction   string `json:"direction"` // as in the configuration
	Framing     string `json:"framing"`   // as in the configuration
	Address     string `json:"address"`   // connected to or listened on, host:port
	State       string `json:"state"`
	Reason      string `json:"reason"`   // why it is in that state, "" where there is nothing to say
	SinceNS     int64  `json:"since_ns"` // it is in that state, since 1970, UTC
	Connections int    `json:"connections"`
	Frames      uint64 `json:"frames"`
	Bytes       uint64 `json:"bytes"`
	BadFrames   uint64 `json:"bad_frames"`
	Reconnects  uint64 `json:"reconnects"`
	Dropped     uint64 `json:"dropped"` // records or frames given up
}

// LinkCertificate is a file of the gateway with a certificate: its own, or that of
// the authorities it trusts, of which the last one to end counts.
type LinkCertificate struct {
	File       string       `json:"file"`
	Names      List[string] `json:"names"` // whom it is for
	Authority  bool         `json:"authority"`
	NotAfterNS int64        `json:"not_after_ns"` // valid until, since 1970, UTC
}

// LinkRefusal counts handshakes that were refused for one reason.
type LinkRefusal struct {
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
	LastNS int64  `json:"last_ns"` // since 1970, UTC
	Last   string `json:"last"`    // a sentence about the last one: who, from where, why
}
