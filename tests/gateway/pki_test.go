package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"

	"brokerd/tests/internal/harness"
)

// renew replaces a host's certificate and key by new ones of the same name.
func renew(t testing.TB, pki *harness.Authority, name string) {
	t.Helper()
	files := pki.Files(name)
	for _, file := range []string{files.Cert, files.Key} {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	pki.Issue(name)
}

// dialAs dials address as files say, where server is to be.
func dialAs(t testing.TB, files harness.Files, address, server string) *tls.Conn {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("ca.pem has no certificate")
	}
	conn, err := tls.Dial("tcp", address, &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, ServerName: server})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// serial dials address as files say and returns the serial number of the
// certificate that server shows.
func serial(t testing.TB, files harness.Files, address, server string) string {
	t.Helper()
	conn := dialAs(t, files, address, server)
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}
