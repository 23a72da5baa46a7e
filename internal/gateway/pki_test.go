package gateway

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"brokerd/internal/pki"
)

// authority signs certificates for tests.
type authority struct {
	pki.Pair
	t testing.TB
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	p, err := pki.NewAuthority(name, pki.Validity{From: time.Now().Add(-time.Hour), Until: time.Now().Add(2 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return &authority{p, t}
}

// pair is a certificate with its key.
type pair struct {
	pki.Pair
	authority *authority
}

// issue makes a certificate for names, one at least, that is valid for a time from
// now on, or was valid when that is negative.
func (a *authority) issue(valid time.Duration, names ...string) *pair {
	a.t.Helper()
	validity := pki.Validity{From: time.Now().Add(-2 * time.Hour), Until: time.Now().Add(valid)}
	p, err := pki.Issue(a.Pair, pki.Host{Name: names[0], Also: names[1:], Validity: validity})
	if err != nil {
		a.t.Fatal(err)
	}
	return &pair{p, a}
}

// named is p with other names: none, or more than package pki puts into one.
func (p *pair) named(names ...string) *pair {
	t := p.authority.t
	t.Helper()
	own, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := tls.X509KeyPair(p.authority.Cert, p.authority.Key)
	if err != nil {
		t.Fatal(err)
	}
	own.Leaf.DNSNames = names
	der, err := x509.CreateCertificate(rand.Reader, own.Leaf, ca.Leaf, own.Leaf.PublicKey, ca.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return &pair{pki.Pair{Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), Key: p.Key}, p.authority}
}

// files writes the certificate, its key, and the certificate of ca into dir.
func (p *pair) files(dir string, ca *authority) TLS {
	p.authority.t.Helper()
	files := TLS{Cert: filepath.Join(dir, "host.crt"), Key: filepath.Join(dir, "host.key"), CA: filepath.Join(dir, "ca.crt")}
	for path, text := range map[string][]byte{files.Cert: p.Cert, files.Key: p.Key, files.CA: ca.Cert} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			p.authority.t.Fatal(err)
		}
	}
	return files
}

// load is files and loadCerts.
func (p *pair) load(ca *authority) *certs {
	p.authority.t.Helper()
	c, err := loadCerts(p.files(p.authority.t.TempDir(), ca))
	if err != nil {
		p.authority.t.Fatal(err)
	}
	return c
}

// config is for a client of crypto/tls that trusts the pair's authority.
func (p *pair) config(serverName string) *tls.Config {
	p.authority.t.Helper()
	own, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		p.authority.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(p.authority.Cert)
	return &tls.Config{ServerName: serverName, RootCAs: pool, MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}}
}
