package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"time"
)

// Limits of what a certificate of a host says.
const (
	nameBytesMax    = 64 // the name that peers know a host by
	dnsBytesMax     = 253
	dnsPartBytesMax = 63
	namesMax        = 64
)

// Host is what a certificate is issued for.
type Host struct {
	// Name is what peers list the host as (peers[].name): 1 to 64 of
	// [a-zA-Z0-9._-], the first a letter or a digit.
	Name string
	// Also are more names that it is dialed by: host names or IP addresses.
	Also     []string
	Validity Validity
}

// Issue makes the certificate of a host. The name and all others are its subject
// alternative names.
func Issue(authority Pair, h Host) (Pair, error) {
	if err := h.Check(); err != nil {
		return Pair{}, err
	}
	parent, parentKey, err := authority.authority()
	if err != nil {
		return Pair{}, err
	}
	if h.Validity.Until.Truncate(time.Second).After(parent.NotAfter) { // certificates know whole seconds
		return Pair{}, fmt.Errorf("valid until %s, and the authority ends at %s: ask for less, or make a new authority",
			day(h.Validity.Until), day(parent.NotAfter))
	}
	c, err := template(h.Name, h.Validity)
	if err != nil {
		return Pair{}, err
	}
	h.name(c)
	c.KeyUsage = x509.KeyUsageDigitalSignature
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	return sign(c, parent, key, parentKey)
}

// Check says what is wrong with h, whoever the authority is.
func (h Host) Check() error {
	if !validName(h.Name) {
		return fmt.Errorf("name %q: want 1 to %d of [a-zA-Z0-9._-], the first a letter or a digit, and no part between dots empty or longer than %d",
			h.Name, nameBytesMax, dnsPartBytesMax)
	}
	if len(h.Also) >= namesMax {
		return fmt.Errorf("%d more names: want at most %d", len(h.Also), namesMax-1)
	}
	for _, name := range h.Also {
		if net.ParseIP(name) == nil && !validDNS(name) {
			return fmt.Errorf("name %q: want a host name or an IP address", name)
		}
	}
	return h.Validity.check()
}

// name puts the names of h into c, each once.
func (h Host) name(c *x509.Certificate) {
	known := map[string]bool{}
	for _, name := range append([]string{h.Name}, h.Also...) {
		if known[name] {
			continue
		}
		known[name] = true
		if ip := net.ParseIP(name); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else {
			c.DNSNames = append(c.DNSNames, name)
		}
	}
}

func validName(s string) bool { return len(s) <= nameBytesMax && validDNS(s) }

// validDNS says whether s is what TLS compares as a host name: it takes no other
// letters, and would not find a name with any.
func validDNS(s string) bool {
	if len(s) == 0 || len(s) > dnsBytesMax || !alphanumeric(s[0]) {
		return false
	}
	for part := range strings.SplitSeq(s, ".") {
		if len(part) == 0 || len(part) > dnsPartBytesMax || part[0] == '-' {
			return false
		}
		for i := range len(part) {
			if c := part[i]; !alphanumeric(c) && c != '_' && c != '-' {
				return false
			}
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
