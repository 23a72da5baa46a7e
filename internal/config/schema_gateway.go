package config

import (
	"net"
	"path/filepath"
	"slices"

	"gopkg.in/yaml.v3"
)

const (
	wantGatewayListen    = `host:port such as 0.0.0.0:9465, or "" for a gateway that only dials`
	wantGatewayName      = wantName + `, or "" for the host name`
	wantPeerName         = wantName + ", one of the names in the peer's certificate"
	wantAddress          = "host:port such as b.example:9465, with a port from 1 to 65535"
	wantPeerAddress      = wantAddress + `, or "" for a peer that only dials in`
	wantHandshakeTimeout = "a time from 100ms to 1m, such as 5s"
	wantDeadAfter        = "a time from 100ms to 1m, such as 3s"
	wantTLS              = "cert, key and ca (brokerctl pki init and brokerctl pki issue make them), or off for plain TCP that anybody on the way can read and change"
	wantTLSFile          = "an absolute path of a PEM file, at most 3072 bytes"
)

func (d *decoder) gateway(g *Gateway) decodeFunc {
	return func(path string, n *yaml.Node) {
		d.mapping(path, n, []field{
			{"name", d.text(wantGatewayName, func(s string) bool {
				g.Name = s
				return s == "" || validName(s)
			})},
			{"listen", d.text(wantGatewayListen, func(s string) bool {
				g.Listen = s
				return s == "" || validListen(s)
			})},
			{"tls", d.tls(&g.TLS)},
			{"export", d.ringNames(&g.Export)},
			{"busy_poll", d.boolean(&g.BusyPoll)},
			{"handshake_timeout", d.duration(&g.HandshakeTimeout, HandshakeTimeoutMin, HandshakeTimeoutMax, wantHandshakeTimeout)},
			{"dead_after", d.duration(&g.DeadAfter, DeadAfterMin, DeadAfterMax, wantDeadAfter)},
			{"peers", func(path string, n *yaml.Node) {
				d.sequence(path, n, GatewayPeersMax, func(path string, n *yaml.Node) {
					g.Peers = append(g.Peers, d.peer(path, n))
				})
			}},
		})
	}
}

// tls reads the word off, or a mapping that names all three files.
func (d *decoder) tls(t *TLS) decodeFunc {
	return func(path string, n *yaml.Node) {
		if n = follow(n); n.Kind != yaml.MappingNode {
			d.text(wantTLS, func(s string) bool { t.Off = s == "off"; return t.Off })(path, n)
			return
		}
		files := []struct {
			key string
			out *string
		}{{"cert", &t.Cert}, {"key", &t.Key}, {"ca", &t.CA}}
		var fields []field
		for _, f := range files {
			fields = append(fields, field{f.key, d.text(wantTLSFile, func(s string) bool {
				*f.out = filepath.Clean(s)
				return validPath(s, dirBytesMax)
			})})
		}
		d.mapping(path, n, fields)
		for _, f := range files {
			d.required(path, f.key, *f.out, wantTLSFile)
		}
	}
}

func (d *decoder) peer(path string, n *yaml.Node) Peer {
	var p Peer
	d.mapping(path, n, []field{
		{"name", d.text(wantPeerName, func(s string) bool { p.Name = s; return validName(s) })},
		{"address", d.text(wantPeerAddress, func(s string) bool {
			p.Address = s
			return s == "" || validAddress(s)
		})},
		{"tls", d.tls(&p.TLS)},
		{"mirror", func(path string, n *yaml.Node) {
			d.sequence(path, n, PeerMirrorsMax, func(path string, n *yaml.Node) {
				p.Mirror = append(p.Mirror, d.mirror(path, n))
			})
		}},
		{"allow", func(path string, n *yaml.Node) {
			d.mapping(path, n, []field{
				{"export", d.ringNames(&p.Allow.Export)},
				{"import", d.ringNames(&p.Allow.Import)},
				{"gate", d.ringNames(&p.Allow.Gate)},
			})
		}},
	})
	d.required(path, "name", p.Name, wantPeerName)
	return p
}

// mirror reads the name of a ring, or a mapping that says more about it.
func (d *decoder) mirror(path string, n *yaml.Node) Mirror {
	m := defaultMirror()
	ring := d.text(wantName, func(s string) bool { m.Ring = s; return validName(s) })
	if isScalar(follow(n)) {
		ring(path, n)
		m.As = m.Ring
		return m
	}
	d.mapping(path, n, []field{
		{"ring", ring},
		{"as", d.text(wantName, func(s string) bool { m.As = s; return validName(s) })},
		{"policy", d.word(&m.Policy, policyWords())},
		{"consumers_max", d.count(&m.ConsumersMax, ConsumersMaxMin, ConsumersMaxMax)},
		{"resume_for", d.duration(&m.ResumeFor, 0, ResumeForMax, wantResumeFor)},
		{"allow", func(path string, n *yaml.Node) {
			d.mapping(path, n, []field{
				{"consume", d.principals(&m.Allow.Consume)},
				{"gate", d.principals(&m.Allow.Gate)},
			})
		}},
	})
	d.required(path, "ring", m.Ring, wantName)
	if m.As == "" {
		m.As = m.Ring
	}
	for _, e := range slices.Concat(m.Allow.Consume.check("allow.consume"), m.Allow.Gate.check("allow.gate")) {
		if key := join(path, e.Key); !d.wrong[key] {
			d.bad(key, e.Got, e.Expected)
		}
	}
	return m
}

// ringNames reads names of rings, which need not exist.
func (d *decoder) ringNames(out *[]string) decodeFunc {
	return func(path string, n *yaml.Node) {
		d.sequence(path, n, PeerRingsMax, d.text(wantName, func(s string) bool {
			*out = append(*out, s)
			return validName(s)
		}))
	}
}

// required reports a key that is missing from a mapping, unless the mapping or
// the key has been reported already.
func (d *decoder) required(path, key, value, want string) {
	if at := join(path, key); value == "" && !d.wrong[path] && !d.wrong[at] {
		d.bad(at, "nothing", want)
	}
}

// validAddress accepts what can be dialled, without looking a host up.
func validAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && validListen(s) && host != "" && port != "0"
}
