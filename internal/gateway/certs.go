package gateway

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"brokerd/internal/wire"
)

// certs are the certificate of this host, its key, and the authority that
// vouches for others. They may be used by several goroutines at once.
type certs struct {
	files TLS
	now   atomic.Pointer[material]
}

// material is what one reading of the files gave.
type material struct {
	server, client *tls.Config
	described      []wire.LinkCertificate
	keyOpen        bool // to users other than the owner and the group of its file
}

// loadCerts reads the files. Errors name the file, what is wrong with it, and
// what to do.
func loadCerts(t TLS) (*certs, error) {
	c := &certs{files: t}
	return c, c.reload()
}

// reload reads the files again. Handshakes that begin later use them, and
// connections stay. If there is anything wrong with them, it is the error, and
// what was in force stays so.
func (c *certs) reload() error {
	own, err := readPair(c.files.Cert, c.files.Key)
	if err != nil {
		return err
	}
	authority, trusted, err := readAuthority(c.files.CA)
	if err != nil {
		return err
	}
	key, err := os.Stat(c.files.Key)
	if err != nil {
		return err
	}
	base := &tls.Config{
		Certificates: []tls.Certificate{own},
		MinVersion:   tls.VersionTLS13,
		// A session that is resumed is not verified anew: rights would outlive
		// the certificate.
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true, // small first records are for browsers
	}
	server, client := base.Clone(), base.Clone()
	server.ClientAuth, server.ClientCAs = tls.RequireAndVerifyClientCert, authority
	client.RootCAs = authority
	// Shown to every server: by itself crypto/tls shows none to one of another
	// authority, which then cannot say what is wrong.
	client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }
	shown := wire.LinkCertificate{File: c.files.Cert, Names: namesOf(own.Leaf), NotAfterNS: own.Leaf.NotAfter.UnixNano()}
	c.now.Store(&material{server, client, []wire.LinkCertificate{shown, trusted}, key.Mode().Perm()&0o004 != 0})
	return nil
}

func (c *certs) server() *tls.Config { return c.now.Load().server }

// client is for a connection to a peer whose certificate must be for serverName.
func (c *certs) client(serverName string) *tls.Config {
	config := c.now.Load().client.Clone()
	config.ServerName = serverName
	return config
}

func readPair(cert, key string) (tls.Certificate, error) {
	certPEM, err := readPEM(cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	keyPEM, err := readPEM(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return pair, fmt.Errorf("certificate %s with key %s: %w; the first block of %s must be this host's certificate, and %s its key", cert, key, err, cert, key)
	}
	if len(namesOf(pair.Leaf)) == 0 {
		return pair, fmt.Errorf("certificate %s is for no name: it needs the name of this host as a subject alternative name", cert)
	}
	return pair, nil
}

// readAuthority reads the authorities in a file, and describes them.
func readAuthority(file string) (*x509.CertPool, wire.LinkCertificate, error) {
	d := wire.LinkCertificate{File: file, Authority: true}
	text, err := readPEM(file)
	if err != nil {
		return nil, d, err
	}
	pool := x509.NewCertPool()
	for len(bytes.TrimSpace(text)) > 0 {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != "CERTIFICATE" {
			continue
		}
		authority, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, d, fmt.Errorf("authority %s: %w", file, err)
		}
		if !authority.IsCA {
			return nil, d, fmt.Errorf("authority %s holds the certificate of %q, which is no authority; name the certificate that signed those of the hosts", file, authority.Subject)
		}
		pool.AddCert(authority)
		d.Names = append(d.Names, authority.Subject.CommonName)
		d.NotAfterNS = max(d.NotAfterNS, authority.NotAfter.UnixNano())
	}
	if pool.Equal(x509.NewCertPool()) {
		return nil, d, fmt.Errorf("authority %s holds no certificate in PEM", file)
	}
	return pool, d, nil
}

func readPEM(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, certFileBytesMax+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(text) > certFileBytesMax {
		return nil, fmt.Errorf("%s is larger than %d bytes: it is no PEM file of certificates or a key", file, certFileBytesMax)
	}
	return text, nil
}

// namesOf are the names that a certificate is for, DNS names first.
func namesOf(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range c.URIs {
		names = append(names, uri.String())
	}
	return append(names, c.EmailAddresses...)
}
