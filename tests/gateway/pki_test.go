package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"brokerd/tests/internal/harness"
)

// authority is a folder in which brokerctl pki keeps an authority and what it
// has issued.
type authority struct {
	t   testing.TB
	dir string
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	a := authority{t, filepath.Join(t.TempDir(), "pki")}
	a.run("init")
	return a
}

func (a authority) run(args ...string) {
	a.t.Helper()
	full := append([]string{"pki", args[0], "--dir", a.dir}, args[1:]...)
	harness.Launch(a.t, exec.Command(binaries.Brokerctl, full...)).Expect(0)
}

func (a authority) file(name string) string { return filepath.Join(a.dir, name) }

// issue makes a certificate and returns the value of gateway.tls that uses it.
func (a authority) issue(name string, more ...string) string {
	a.t.Helper()
	a.run(append([]string{"issue", name}, more...)...)
	return a.keys(name)
}

func (a authority) keys(name string) string {
	return fmt.Sprintf("{cert: %s, key: %s, ca: %s}", a.file(name+".pem"), a.file(name+"-key.pem"), a.file("ca.pem"))
}

// trusting is keys with the authority of another.
func (a authority) trusting(other authority, name string) string {
	return fmt.Sprintf("{cert: %s, key: %s, ca: %s}", a.file(name+".pem"), a.file(name+"-key.pem"), other.file("ca.pem"))
}

// renew replaces a host's certificate and key by new ones of the same name.
func (a authority) renew(name string) {
	a.t.Helper()
	for _, file := range []string{name + ".pem", name + "-key.pem"} {
		if err := os.Remove(a.file(file)); err != nil {
			a.t.Fatal(err)
		}
	}
	a.run("issue", name)
}

// serial dials address as name and returns the serial number of the certificate
// that server shows.
func (a authority) serial(address, name, server string) string {
	a.t.Helper()
	cert, err := tls.LoadX509KeyPair(a.file(name+".pem"), a.file(name+"-key.pem"))
	if err != nil {
		a.t.Fatal(err)
	}
	pem, err := os.ReadFile(a.file("ca.pem"))
	if err != nil {
		a.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		a.t.Fatal("ca.pem has no certificate")
	}
	conn, err := tls.Dial("tcp", address, &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, ServerName: server})
	if err != nil {
		a.t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}
