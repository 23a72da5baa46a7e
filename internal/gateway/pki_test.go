package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for tests.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: serialNumber(t), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return &authority{t, sign(t, template, template, key, key), key}
}

// pair is a certificate with its key.
type pair struct {
	authority *authority
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
}

// issue makes a certificate for names that is valid for a time from now on, or
// was valid when that is negative.
func (a *authority) issue(valid time.Duration, names ...string) *pair {
	a.t.Helper()
	key := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: serialNumber(a.t), Subject: pkix.Name{CommonName: "host"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(valid),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return &pair{a, sign(a.t, template, a.cert, key, a.key), key}
}

// files writes the certificate, its key, and the certificate of ca into dir.
func (p *pair) files(dir string, ca *authority) TLS {
	p.authority.t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		p.authority.t.Fatal(err)
	}
	files := TLS{Cert: filepath.Join(dir, "host.crt"), Key: filepath.Join(dir, "host.key"), CA: filepath.Join(dir, "ca.crt")}
	for path, block := range map[string]*pem.Block{
		files.Cert: {Type: "CERTIFICATE", Bytes: p.cert.Raw},
		files.Key:  {Type: "PRIVATE KEY", Bytes: key},
		files.CA:   {Type: "CERTIFICATE", Bytes: ca.cert.Raw},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
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
	pool := x509.NewCertPool()
	pool.AddCert(p.authority.cert)
	return &tls.Config{
		ServerName: serverName, RootCAs: pool, MinVersion: tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key}},
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serialNumber(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func sign(t testing.TB, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
