package config

import "time"

// Limits of the gateway.
const (
	GatewayPeersMax     = 256
	PeerMirrorsMax      = 64 // streams that one connection carries
	PeerRingsMax        = 4096
	HandshakeTimeoutMin = 100 * time.Millisecond
	HandshakeTimeoutMax = 60 * time.Second
	DeadAfterMin        = 100 * time.Millisecond
	DeadAfterMax        = time.Minute
)

// Defaults of the gateway. Those of a mirror are the defaults of a ring.
const (
	DefaultHandshakeTimeout = 5 * time.Second
	DefaultDeadAfter        = 3 * time.Second
)

// Gateway is how this daemon connects its rings with those of other hosts.
type Gateway struct {
	Name             string // as others list this host in their peers; "" for its host name
	Listen           string // host:port, port 0 for any free one; "" for a gateway that only dials
	TLS              TLS
	Export           []string // rings that every peer may mirror and read; they need not exist
	BusyPoll         bool     // spend a core on a shorter wake-up
	HandshakeTimeout time.Duration
	DeadAfter        time.Duration // a peer that is silent for so long is gone
	Peers            []Peer        // their names are unique
}

// TLS is how links are encrypted and peers authenticated: off, or by three PEM
// files. The zero value says neither.
type TLS struct {
	Off           bool
	Cert, Key, CA string // absolute paths
}

// Given tells whether a file says anything about TLS.
func (t TLS) Given() bool { return t != TLS{} }

// Peer is another daemon.
type Peer struct {
	Name    string   // its identity: a name that its certificate carries
	Address string   // host:port; "" for one that only dials in
	TLS     TLS      // for connections to Address, instead of the gateway's
	Mirror  []Mirror // rings of it to have here; their local names are unique
	Allow   PeerAllow
}

// PeerAllow says what a peer may do with the rings of this host, by their
// names.
type PeerAllow struct {
	Export []string // mirror and read, besides those that every peer may
	Import []string // publish into
	Gate   []string // hold the producer for ever: policy block
}

// Mirror is a ring of a peer that this host keeps a copy of.
type Mirror struct {
	Ring         string        // its name at the peer
	As           string        // its name here
	Policy       string        // of the link's reader at the peer
	ConsumersMax int           // consumers attached here at a time
	ResumeFor    time.Duration // how long the cursor of a named reader outlives it here
	Allow        Allow         // without Produce: a mirror has no local producers
}

// MirrorNames returns the local names of all mirrors, in the order of the file.
func (g Gateway) MirrorNames() []string {
	var names []string
	for _, p := range g.Peers {
		for _, m := range p.Mirror {
			names = append(names, m.As)
		}
	}
	return names
}

// UsesGateway tells whether c has anything for a gateway to do.
func (c *Config) UsesGateway() bool {
	return c.Gateway.Listen != "" || len(c.Gateway.Peers) > 0 || len(c.Feeds) > 0
}

// defaultMirror returns a mirror of every default, without names.
func defaultMirror() Mirror {
	return Mirror{Policy: DefaultPolicy, ConsumersMax: DefaultConsumersMax}
}
