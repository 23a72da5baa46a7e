package gateway

import (
	"time"

	"brokerd/internal/wire"
)

// Settings are what the configuration says about the gateway. They are whole:
// defaults have been filled in. New and Apply copy nothing and change nothing.
type Settings struct {
	Name             string        // of this host, as others list it in peers; its certificate names it, too
	Listen           string        // host:port; "" for a gateway that only dials
	TLS              *TLS          // nil: off
	Export           []string      // rings that every authenticated peer may mirror and read
	BusyPoll         bool          // a core for the loop
	HandshakeTimeout time.Duration // until a connection has said who it is
	DeadAfter        time.Duration // a peer that is silent for so long is gone
	Peers            []Peer
	Feeds            []Feed
}

// TLS names the files of a host: its certificate, the key to it, and the
// authority that vouches for others. All are PEM.
type TLS struct{ Cert, Key, CA string }

// Peer is another host.
type Peer struct {
	Name    string
	Address string // host:port; "" for one that only dials in
	TLS     *TLS   // other files than those of the gateway; nil: the same
	TLSOff  bool   // of the connection to Address
	Mirror  []Mirror
	Allow   Allow
}

// Mirror is a ring of a peer that is to be mirrored here.
type Mirror struct {
	Ring         string
	As           string      // its name here
	Policy       wire.Policy // of the reader that the peer attaches for it; "" for the default there
	ConsumersMax int
	ResumeForNS  int64
	Allow        wire.Allow
}

// Allow is what a peer may do here, by names of rings.
type Allow struct {
	Export []string // mirror and read, beside Settings.Export
	Import []string // publish into
	Gate   []string // read with the policy block
}

// Feed is a TCP stream of frames, each a record of a ring.
type Feed struct {
	Name           string
	Ring           string
	Connect        string // host:port; either this
	Listen         string // or this
	Direction      string // in, out
	Framing        string // line, u16be, u32be, fix
	FrameBytesMax  int
	IdleTimeout    time.Duration // 0: none
	ConnectionsMax int           // of Listen
}
