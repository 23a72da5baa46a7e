package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"brokerd/internal/wire"
)

// expiryWarnDays is how many days before a certificate ends an operator is told.
const expiryWarnDays = 14

// Problems says, a sentence each, what an operator should do about the files of
// certificates: keys that others can read, certificates that end soon.
func (g *Gateway) Problems() (list []string) {
	g.loop.mu.Lock()
	defer g.loop.mu.Unlock()
	for _, c := range g.sortedCerts() {
		if c.now.Load().keyOpen {
			list = append(list, fmt.Sprintf("gateway: the key %s can be read by every user of this host, who can then be this host to others: chmod o= it, and make a new one if somebody may have", c.files.Key))
		}
	}
	for _, c := range g.listCertificates() {
		switch left := time.Until(time.Unix(0, c.NotAfterNS)); {
		case left <= 0:
			list = append(list, fmt.Sprintf("gateway: the certificate in %s has ended on %s: no new connection is made with it; brokerctl pki issue makes another one, and a reload takes it", c.File, day(c)))
		case left < expiryWarnDays*24*time.Hour:
			list = append(list, fmt.Sprintf("gateway: the certificate in %s ends on %s, in %d days: brokerctl pki issue makes another one, and a reload takes it", c.File, day(c), int(left/(24*time.Hour))))
		}
	}
	return list
}

func day(c wire.LinkCertificate) string {
	return time.Unix(0, c.NotAfterNS).UTC().Format(time.DateOnly)
}

// sortedCerts are those that the settings name now.
func (g *Gateway) sortedCerts() (list []*certs) {
	for files, c := range g.certs {
		if g.settings.names(files) {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b *certs) int { return cmp.Compare(a.files.Cert, b.files.Cert) })
	return list
}

// names says whether the settings name these files.
func (s Settings) names(files TLS) bool {
	return s.TLS != nil && *s.TLS == files || slices.ContainsFunc(s.Peers, func(p Peer) bool { return p.TLS != nil && *p.TLS == files })
}

// listCertificates is what a snapshot has of them, each file once.
func (g *Gateway) listCertificates() (list []wire.LinkCertificate) {
	for _, c := range g.sortedCerts() {
		for _, found := range c.now.Load().described {
			if !slices.ContainsFunc(list, func(o wire.LinkCertificate) bool { return o.File == found.File }) {
				list = append(list, found)
			}
		}
	}
	return list
}
