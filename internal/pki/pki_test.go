package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

// lab is an authority of a test's own.
func lab(t *testing.T) (authority Pair, valid Validity) {
	t.Helper()
	valid = Validity{From: time.Now().Add(-time.Minute), Until: time.Now().Add(time.Hour)}
	authority, err := NewAuthority("lab", valid)
	if err != nil {
		t.Fatal(err)
	}
	return authority, valid
}

func issue(t *testing.T, authority Pair, h Host) (Pair, *x509.Certificate) {
	t.Helper()
	pair, err := Issue(authority, h)
	if err != nil {
		t.Fatal(err)
	}
	return pair, parse(t, pair)
}

// parse also proves that the key is the certificate's.
func parse(t *testing.T, p Pair) *x509.Certificate {
	t.Helper()
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func pool(authority Pair) *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(authority.Cert)
	return p
}

func TestHostOfAnAuthority(t *testing.T) {
	authority, valid := lab(t)
	_, c := issue(t, authority, Host{Name: "hostA", Also: []string{"10.0.0.1", "a.lab", "hostA", "::1"}, Validity: valid})
	if len(c.DNSNames) != 2 || len(c.IPAddresses) != 2 {
		t.Errorf("names %v, addresses %v", c.DNSNames, c.IPAddresses)
	}
	for _, name := range []string{"hostA", "a.lab", "10.0.0.1", "::1"} {
		for _, usage := range usages() {
			if _, err := c.Verify(x509.VerifyOptions{DNSName: name, Roots: pool(authority), KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("%s, usage %v: %v", name, usage, err)
			}
		}
	}
	if _, err := c.Verify(x509.VerifyOptions{Roots: pool(authority), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}); err == nil {
		t.Error("it signs code, too")
	}
	if key, ok := c.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("key %T", c.PublicKey)
	}
	if c.IsCA || c.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Error("a host can sign others")
	}
	other, _ := lab(t)
	var unknown x509.UnknownAuthorityError
	if _, err := c.Verify(x509.VerifyOptions{Roots: pool(other)}); !errors.As(err, &unknown) {
		t.Errorf("another authority: got %v", err)
	}
}

// TestAuthorityOfHostsOnly: an authority that one of ours signs is worth nothing.
func TestAuthorityOfHostsOnly(t *testing.T) {
	authority, valid := lab(t)
	root, rootKey, err := authority.authority()
	if err != nil {
		t.Fatal(err)
	}
	if !root.IsCA || root.MaxPathLen != 0 || !root.MaxPathLenZero {
		t.Errorf("authority %v, path of %d", root.IsCA, root.MaxPathLen)
	}
	sub, err := NewAuthority("sub", valid)
	if err != nil {
		t.Fatal(err)
	}
	leaf := parse(t, sub)
	signed, err := sign(leaf, root, leafKey(t, sub), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	_, c := issue(t, signed, Host{Name: "hostA", Validity: valid})
	if _, err := c.Verify(x509.VerifyOptions{Roots: pool(authority), Intermediates: pool(signed)}); err == nil {
		t.Error("a host of an authority below ours is trusted")
	}
}

func leafKey(t *testing.T, p Pair) *ecdsa.PrivateKey {
	t.Helper()
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return pair.PrivateKey.(*ecdsa.PrivateKey)
}

// TestHandshake is what the certificates are for: TLS 1.3, both sides known.
func TestHandshake(t *testing.T) {
	authority, valid := lab(t)
	pair, _ := issue(t, authority, Host{Name: "hostA", Validity: valid})
	own, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	server := tls.Server(far, &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: pool(authority), ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13})
	done := make(chan error, 1)
	go func() {
		_, err := server.Write([]byte("x")) // carries out the handshake
		done <- err
	}()
	client := tls.Client(near, &tls.Config{Certificates: []tls.Certificate{own}, RootCAs: pool(authority), ServerName: "hostA", MinVersion: tls.VersionTLS13})
	if _, err := client.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := errors.Join(near.Close(), far.Close()); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	authority, valid := lab(t)
	host, _ := issue(t, authority, Host{Name: "hostA", Validity: valid})
	long := strings.Repeat("x", nameBytesMax)
	for _, tc := range []struct {
		what string
		by   Pair
		h    Host
		says string // "" for nothing wrong
	}{
		{"the longest name", authority, Host{Name: long[:dnsPartBytesMax]}, ""},
		{"a part too long", authority, Host{Name: long}, "64 of"},
		{"a name too long", authority, Host{Name: "a." + long[:dnsPartBytesMax]}, "64 of"},
		{"no name", authority, Host{}, `name ""`},
		{"a space", authority, Host{Name: "a b"}, `name "a b"`},
		{"a folder", authority, Host{Name: "../a"}, `name "../a"`},
		{"a wildcard", authority, Host{Name: "a", Also: []string{"*.a"}}, `name "*.a"`},
		{"most names", authority, Host{Name: "a", Also: make63("b.c")}, ""},
		{"too many names", authority, Host{Name: "a", Also: append(make63("b"), "c")}, "at most 63"},
		{"never valid", authority, Host{Name: "a", Validity: Validity{valid.Until, valid.From}}, "would never be"},
		{"outlives its authority", authority, Host{Name: "a", Validity: Validity{valid.From, valid.Until.Add(time.Second)}}, "the authority ends at"},
		{"signed by a host", host, Host{Name: "a"}, "none of an authority"},
		{"another's key", Pair{authority.Cert, host.Key}, Host{Name: "a"}, "private key does not match"},
		{"no PEM", Pair{[]byte("x"), []byte("y")}, Host{Name: "a"}, "PEM"},
	} {
		if tc.h.Validity == (Validity{}) {
			tc.h.Validity = valid
		}
		_, err := Issue(tc.by, tc.h)
		if tc.says == "" && err != nil || tc.says != "" && (err == nil || !strings.Contains(err.Error(), tc.says)) {
			t.Errorf("%s: got %v, want %q", tc.what, err, tc.says)
		}
	}
	for _, name := range []string{"", long + "x"} {
		if _, err := NewAuthority(name, valid); err == nil {
			t.Errorf("an authority called %q", name)
		}
	}
}

func make63(name string) []string {
	names := make([]string, 63)
	for i := range names {
		names[i] = name
	}
	return names
}
