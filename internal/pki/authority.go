package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// serialBits is the length of the random serial numbers.
const serialBits = 127

// Pair is a certificate and its private key, each as PEM.
type Pair struct {
	Cert, Key []byte
}

// Validity is when a certificate holds: both ends are part of it.
type Validity struct {
	From, Until time.Time
}

func (v Validity) check() error {
	if !v.From.Before(v.Until) {
		return fmt.Errorf("valid from %s until %s: it would never be", day(v.From), day(v.Until))
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// usages are what all certificates here are for.
func usages() []x509.ExtKeyUsage {
	return []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
}

// NewAuthority makes an authority that signs certificates of hosts, and no
// authorities. name is for people.
func NewAuthority(name string, v Validity) (Pair, error) {
	if err := v.check(); err != nil {
		return Pair{}, err
	}
	if name == "" || len(name) > nameBytesMax {
		return Pair{}, fmt.Errorf("name of the authority %q: want 1 to %d bytes", name, nameBytesMax)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	c, err := template(name, v)
	if err != nil {
		return Pair{}, err
	}
	c.IsCA, c.MaxPathLenZero = true, true
	c.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return sign(c, c, key, key)
}

// template is what all certificates have.
func template(name string, v Validity) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             v.From,
		NotAfter:              v.Until,
		ExtKeyUsage:           usages(),
		BasicConstraintsValid: true,
	}, nil
}

// sign makes the certificate of a key in the name of an authority.
func sign(c, authority *x509.Certificate, key *ecdsa.PrivateKey, by any) (Pair, error) {
	cert, err := x509.CreateCertificate(rand.Reader, c, authority, &key.PublicKey, by)
	if err != nil {
		return Pair{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}, nil
}

// authority reads an authority and its key.
func (p Pair) authority() (*x509.Certificate, any, error) {
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("the authority and its key: %w", err)
	}
	if !pair.Leaf.IsCA || pair.Leaf.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, nil, errors.New("the certificate of the authority is none of an authority")
	}
	return pair.Leaf, pair.PrivateKey, nil
}
