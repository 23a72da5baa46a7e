package config

import "time"

type (
	printedGateway struct {
		Name             string        `yaml:"name"`
		Listen           string        `yaml:"listen"`
		TLS              any           `yaml:"tls,omitempty"`
		Export           []string      `yaml:"export"`
		BusyPoll         bool          `yaml:"busy_poll"`
		HandshakeTimeout time.Duration `yaml:"handshake_timeout"`
		DeadAfter        time.Duration `yaml:"dead_after"`
		Peers            []printedPeer `yaml:"peers"`
	}
	printedTLS struct {
		Cert string `yaml:"cert"`
		Key  string `yaml:"key"`
		CA   string `yaml:"ca"`
	}
	printedPeer struct {
		Name    string           `yaml:"name"`
		Address string           `yaml:"address"`
		TLS     any              `yaml:"tls,omitempty"`
		Mirror  []printedMirror  `yaml:"mirror"`
		Allow   printedPeerAllow `yaml:"allow"`
	}
	printedPeerAllow struct {
		Export []string `yaml:"export"`
		Import []string `yaml:"import"`
		Gate   []string `yaml:"gate"`
	}
	printedMirror struct {
		Ring         string        `yaml:"ring"`
		As           string        `yaml:"as"`
		Policy       string        `yaml:"policy"`
		ConsumersMax int           `yaml:"consumers_max"`
		ResumeFor    time.Duration `yaml:"resume_for"`
		Allow        printedAllow  `yaml:"allow,omitempty"`
	}
	printedFeed struct {
		Name           string        `yaml:"name"`
		Ring           string        `yaml:"ring"`
		Connect        string        `yaml:"connect,omitempty"`
		Listen         string        `yaml:"listen,omitempty"`
		Direction      string        `yaml:"direction"`
		Framing        string        `yaml:"framing"`
		FrameMax       string        `yaml:"frame_max"`
		IdleTimeout    time.Duration `yaml:"idle_timeout"`
		ConnectionsMax int           `yaml:"connections_max"`
	}
)

func printGateway(g Gateway) printedGateway {
	p := printedGateway{
		Name:             g.Name,
		Listen:           g.Listen,
		TLS:              printTLS(g.TLS),
		Export:           g.Export,
		BusyPoll:         g.BusyPoll,
		HandshakeTimeout: g.HandshakeTimeout,
		DeadAfter:        g.DeadAfter,
	}
	for _, peer := range g.Peers {
		p.Peers = append(p.Peers, printPeer(peer))
	}
	return p
}

func printPeer(peer Peer) printedPeer {
	p := printedPeer{Name: peer.Name, Address: peer.Address, TLS: printTLS(peer.TLS), Allow: printedPeerAllow(peer.Allow)}
	for _, m := range peer.Mirror {
		p.Mirror = append(p.Mirror, printedMirror{
			Ring:         m.Ring,
			As:           m.As,
			Policy:       m.Policy,
			ConsumersMax: m.ConsumersMax,
			ResumeFor:    m.ResumeFor,
			Allow:        printedAllow(m.Allow),
		})
	}
	return p
}

// printTLS returns the word off, the files, or nil for a key to leave out.
func printTLS(t TLS) any {
	switch {
	case t.Off:
		return "off"
	case t.Given():
		return printedTLS{Cert: t.Cert, Key: t.Key, CA: t.CA}
	}
	return nil
}

func printFeed(f Feed) printedFeed {
	return printedFeed{
		Name:           f.Name,
		Ring:           f.Ring,
		Connect:        f.Connect,
		Listen:         f.Listen,
		Direction:      f.Direction,
		Framing:        f.Framing,
		FrameMax:       f.FrameMax.String(),
		IdleTimeout:    f.IdleTimeout,
		ConnectionsMax: f.ConnectionsMax,
	}
}
