package harness

import (
	"net"
	"testing"
)

// FreeAddress is one of this host, with a port, where nobody listens: a daemon that
// is started again is to have the same.
func FreeAddress(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
