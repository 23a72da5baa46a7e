package daemon

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"

	"go.uber.org/zap"

	"brokerd/internal/config"
	"brokerd/internal/gateway"
	"brokerd/internal/wire"
)

// startGateway comes when every ring is there. A gateway without a listener,
// peers and feeds sleeps: a reload may give it something to do.
func (d *daemon) startGateway(context.Context) error {
	settings, err := gatewaySettings(d.cfg.Load(), os.Hostname)
	if err != nil {
		return err
	}
	beat, release := d.beats.join("gateway loop")
	g, err := gateway.New(gateway.Options{
		Broker:   d.broker,
		Log:      d.log.Named("gateway"),
		Settings: settings,
		Version:  d.version,
		Beat:     beat,
	})
	if err != nil {
		release()
		return err
	}
	d.gateway.Store(g)
	d.spawnBeating("gateway loop", release, g.Run)
	if address := g.Address(); address != "" {
		d.log.Info("gateway listens", zap.String("address", address), zap.String("name", settings.Name),
			zap.Bool("tls", settings.TLS != nil))
	}
	return nil
}

// links is what the control server and a scrape show of the gateway.
func (d *daemon) links() wire.ListLinksOut {
	if g := d.gateway.Load(); g != nil {
		return g.Links()
	}
	return wire.ListLinksOut{} // still starting
}

// gatewaySettings turns the configuration into what the gateway takes. Where it
// gives this host no name, host does.
func gatewaySettings(c *config.Config, host func() (string, error)) (gateway.Settings, error) {
	g := c.Gateway
	s := gateway.Settings{
		Name:             g.Name,
		Listen:           g.Listen,
		TLS:              tlsFiles(g.TLS),
		Export:           g.Export,
		BusyPoll:         g.BusyPoll,
		HandshakeTimeout: g.HandshakeTimeout,
		DeadAfter:        g.DeadAfter,
	}
	if s.Name == "" && c.UsesGateway() {
		name, err := host()
		if err != nil || !wire.ValidName(name) {
			return gateway.Settings{}, fmt.Errorf("gateway.name: the host name %q cannot stand in for it (1 to %d of a-z A-Z 0-9 . _ - are needed, a letter or digit first): set gateway.name",
				name, wire.NameBytesMax)
		}
		s.Name = name
	}
	for _, p := range g.Peers {
		s.Peers = append(s.Peers, gatewayPeer(p))
	}
	for _, f := range c.Feeds {
		s.Feeds = append(s.Feeds, gateway.Feed{
			Name:           f.Name,
			Ring:           f.Ring,
			Connect:        f.Connect,
			Listen:         f.Listen,
			Direction:      f.Direction,
			Framing:        f.Framing,
			FrameBytesMax:  int(f.FrameMax),
			IdleTimeout:    f.IdleTimeout,
			ConnectionsMax: f.ConnectionsMax,
		})
	}
	return s, nil
}

func gatewayPeer(p config.Peer) gateway.Peer {
	peer := gateway.Peer{
		Name:    p.Name,
		Address: p.Address,
		TLS:     tlsFiles(p.TLS),
		TLSOff:  p.TLS.Off,
		Allow:   gateway.Allow(p.Allow),
	}
	for _, m := range p.Mirror {
		peer.Mirror = append(peer.Mirror, gateway.Mirror{
			Ring:         m.Ring,
			As:           m.As,
			Policy:       wire.Policy(m.Policy),
			ConsumersMax: m.ConsumersMax,
			ResumeForNS:  m.ResumeFor.Nanoseconds(),
			Allow:        wire.Allow{Consume: principals(m.Allow.Consume), Gate: principals(m.Allow.Gate)},
		})
	}
	return peer
}

// tlsFiles returns nil when TLS is off or not said anything about.
func tlsFiles(t config.TLS) *gateway.TLS {
	if t.Off || !t.Given() {
		return nil
	}
	return &gateway.TLS{Cert: t.Cert, Key: t.Key, CA: t.CA}
}

// gatewayProblems is what an operator should look at, a sentence each.
func (d *daemon) gatewayProblems() []string {
	list := openLinks(d.cfg.Load().Gateway)
	if g := d.gateway.Load(); g != nil {
		list = append(list, g.Problems()...)
	}
	return list
}

// openLinks says, a sentence each, which connections go without TLS over more
// than the loopback.
func openLinks(g config.Gateway) []string {
	const danger = "whoever is on the way can read and change records, and be any peer; give it certificates (brokerctl pki issue), or stay on the loopback"
	var list []string
	if g.Listen != "" && g.TLS.Off && !isLoopback(g.Listen) {
		list = append(list, fmt.Sprintf("gateway.listen %s has tls: off and is not a loopback address: %s", g.Listen, danger))
	}
	for _, p := range g.Peers {
		off := p.TLS.Off || !p.TLS.Given() && g.TLS.Off
		if p.Address != "" && off && !isLoopback(p.Address) {
			list = append(list, fmt.Sprintf("gateway.peers: %s at %s has tls: off and is not a loopback address: %s", p.Name, p.Address, danger))
		}
	}
	return list
}

// isLoopback judges the host of an address by its text: a name other than
// localhost may stand for anything.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
