package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"brokerd/internal/wire"
)

// Times of TCPOptions.DeadAfter.
const (
	DeadAfterDefault = 3 * time.Second
	DeadAfterMin     = 100 * time.Millisecond
	DeadAfterMax     = time.Minute
)

// nameDefault is as whom a program without certificate and host name connects.
const nameDefault = "client"

// TCPOptions configure a Remote.
type TCPOptions struct {
	// Address is the host and port where a gateway listens (key gateway.listen).
	Address string
	// Name is as whom: the peers[].name that the other side knows this program by.
	// "" is the first DNS name of the certificate, and without TLS the host's name.
	// With TLS the certificate decides, whatever the name.
	Name string
	// Cert, Key and CA are PEM files: this program's certificate and key, and the
	// certificates of the authorities that it trusts. They are read anew for each
	// connection.
	Cert, Key, CA string
	// ServerName is the name that the other side's certificate must bear; "" is the
	// host of Address.
	ServerName string
	// TLS, if given, is used in place of Cert, Key, CA and ServerName.
	TLS *tls.Config
	// Plain turns TLS off. It must be asked for, on both sides.
	Plain bool
	// DeadAfter is how long the other side may be silent while it owes an answer
	// before the connection counts as broken. 0 is DeadAfterDefault.
	DeadAfter time.Duration
	// WaitFor is how long DialTCP waits for a gateway that does not answer yet.
	// 0 makes it fail at once.
	WaitFor time.Duration
}

// check says what is wrong with the options, and fills in the defaults that need
// no file.
func (o *TCPOptions) check() error {
	if _, port, err := net.SplitHostPort(o.Address); err != nil || port == "" {
		return fmt.Errorf("address %q: want host:port, such as gw1:9465 or [::1]:9465", o.Address)
	}
	if o.DeadAfter == 0 {
		o.DeadAfter = DeadAfterDefault
	}
	if o.DeadAfter < DeadAfterMin || o.DeadAfter > DeadAfterMax {
		return fmt.Errorf("dead after %v: want %v to %v", o.DeadAfter, DeadAfterMin, DeadAfterMax)
	}
	if o.Name != "" && !wire.ValidName(o.Name) {
		return fmt.Errorf("name %q: want 1 to %d of [a-zA-Z0-9._-], the first a letter or a digit", o.Name, wire.NameBytesMax)
	}
	files := o.Cert != "" || o.Key != "" || o.CA != ""
	switch {
	case o.Plain && (files || o.TLS != nil || o.ServerName != ""):
		return errors.New("TLS is off, and its files, its server name or its settings are given: want one or the other")
	case o.Plain || o.TLS != nil && !files:
		return nil
	case o.TLS != nil:
		return errors.New("TLS settings and files are given: want one or the other")
	case o.Cert == "" || o.Key == "" || o.CA == "":
		return errors.New("certificate, key and authority are needed, or TLS has to be turned off: brokerctl pki makes such files")
	}
	return nil
}

// tls returns the settings of the next connection, with files as they are now.
func (o *TCPOptions) tls() (*tls.Config, error) {
	if o.TLS != nil {
		c := o.TLS.Clone()
		if c.ServerName == "" {
			c.ServerName = o.serverName()
		}
		return c, nil
	}
	own, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s, key %s: %w", o.Cert, o.Key, err)
	}
	authorities, err := os.ReadFile(o.CA)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("authority %s holds no certificate", o.CA)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{own}, RootCAs: roots, ServerName: o.serverName(), MinVersion: tls.VersionTLS13,
		// By itself crypto/tls shows none to a gateway of another authority, which
		// then cannot say what is wrong.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil },
	}, nil
}

func (o *TCPOptions) serverName() string {
	if o.ServerName != "" {
		return o.ServerName
	}
	host, _, _ := net.SplitHostPort(o.Address) // checked
	return host
}

// as is the name to say. c is nil without TLS.
func (o *TCPOptions) as(c *tls.Config) string {
	var names []string
	if c != nil && len(c.Certificates) > 0 && c.Certificates[0].Leaf != nil {
		names = c.Certificates[0].Leaf.DNSNames
	}
	host, _ := os.Hostname() // "" is no valid name
	for _, name := range append(append([]string{o.Name}, names...), host) {
		if wire.ValidName(name) {
			return name
		}
	}
	return nameDefault
}
