package gateway

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// TestRefusedCertificates: both sides learn why.
func TestRefusedCertificates(t *testing.T) {
	ca, other := newAuthority(t, "lab"), newAuthority(t, "elsewhere")
	server := ca.issue(time.Hour, "server")
	for _, test := range []struct {
		name         string
		server       *certs
		client       *certs
		far, near    string // part of what the listener and the dialler are told
		expectServer string
	}{
		{
			name: "client of another authority", server: server.load(ca), client: other.issue(time.Hour, "client").load(ca),
			far: `certificate (for ["client"], issued by CN=elsewhere) is not signed by the authority in`, near: "not signed by the authority of the peer",
		},
		{
			name: "expired client", server: server.load(ca), client: ca.issue(-time.Minute, "client").load(ca),
			far: `certificate (for ["client"], issued by CN=lab) is valid from`, near: "has expired",
		},
		{
			name: "server of another authority", server: other.issue(time.Hour, "server").load(ca), client: ca.issue(time.Hour, "client").load(ca),
			far: "cannot verify this host's certificate", near: `certificate (for ["server"], issued by CN=elsewhere) is not signed by the authority in`,
		},
		{
			name: "expired server", server: ca.issue(-time.Minute, "server").load(ca), client: ca.issue(time.Hour, "client").load(ca),
			far: "cannot verify this host's certificate", near: "is valid from",
		},
		{
			name: "other name", server: server.load(ca), client: ca.issue(time.Hour, "client").load(ca), expectServer: "hamburg",
			far: "cannot verify this host's certificate", near: `(for ["server"], issued by CN=lab) is not for "hamburg"`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newLoopRig(t, loopOptions{})
			o := listenOptions{Certs: test.server}
			refused := refusals(&o)
			address, _ := r.listen(o)
			if test.expectServer == "" {
				test.expectServer = "server"
			}
			result, _ := r.dial(dialOptions{Address: address, Certs: test.client, ServerName: test.expectServer})
			was := receive(t, "refusal", refused)
			if !errors.Is(was.cause, errHandshake) || !strings.Contains(was.cause.Error(), test.far) {
				t.Errorf("the listener was told: %v", was.cause)
			}
			near := receive(t, "dial", result)
			err := near.err
			if err == nil { // with TLS 1.3 a client is done before the server has looked at it
				err = near.e.ending(t)
			}
			if !errors.Is(err, errHandshake) || !strings.Contains(err.Error(), test.near) {
				t.Errorf("the dialler was told: %v", err)
			}
			t.Logf("listener: %v", was.cause)
			t.Logf("dialler: %v", err)
		})
	}
}

func TestRefusedClients(t *testing.T) {
	ca := newAuthority(t, "lab")
	r := newLoopRig(t, loopOptions{})
	o := listenOptions{Certs: ca.issue(time.Hour, "server").load(ca)}
	refused := refusals(&o)
	address, _ := r.listen(o)
	none := ca.issue(time.Hour, "client").config("server")
	none.Certificates = nil
	old := ca.issue(time.Hour, "client").config("server")
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	for _, test := range []struct {
		name      string
		config    *tls.Config
		far, near string
	}{
		{"no certificate", none, "the peer shows no certificate", "certificate required"},
		{"TLS 1.2", old, "client offered only unsupported versions", "protocol version not supported"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := tls.Client(connect(t, address, nil), test.config)
			_, err := io.ReadAll(conn)
			if err == nil || !strings.Contains(err.Error(), test.near) {
				t.Errorf("the client was told: %v", err)
			}
			if was := receive(t, "refusal", refused); !errors.Is(was.cause, errHandshake) || !strings.Contains(was.cause.Error(), test.far) {
				t.Errorf("the listener was told: %v", was.cause)
			}
		})
	}
	t.Run("leaves in the middle", func(t *testing.T) {
		conn := connect(t, address, nil)
		_, _ = conn.Write(clientHello(t))
		_ = conn.Close()
		if was := receive(t, "refusal", refused); !errors.Is(was.cause, errEnded) && !errors.Is(was.cause, errBroken) {
			t.Errorf("the listener was told: %v", was.cause)
		}
	})
	t.Run("garbage behind the hello", func(t *testing.T) {
		conn := connect(t, address, nil)
		_, _ = conn.Write(append(clientHello(t), "garbage, and more of it"...))
		if was := receive(t, "refusal", refused); !errors.Is(was.cause, errNotTLS) && !errors.Is(was.cause, errHandshake) {
			t.Errorf("the listener was told: %v", was.cause)
		}
	})
}

// TestReload: new handshakes use the new files, connections stay, and bad files
// change nothing.
func TestReload(t *testing.T) {
	oldCA, newCA := newAuthority(t, "old"), newAuthority(t, "new")
	dir := t.TempDir()
	c, err := loadCerts(oldCA.issue(time.Hour, "server").files(dir, oldCA))
	if err != nil {
		t.Fatal(err)
	}
	r := newLoopRig(t, loopOptions{})
	o := listenOptions{Certs: c}
	refused := refusals(&o)
	address, sessions := r.listen(o)
	oldClient, newClient := oldCA.issue(time.Hour, "client").config("server"), newCA.issue(time.Hour, "client").config("server")
	stays := connect(t, address, oldClient)
	exchange(t, stays, []byte("before"))
	e := receive(t, "accept", sessions)

	newCA.issue(time.Hour, "server").files(dir, newCA)
	if err := c.reload(); err != nil {
		t.Fatal(err)
	}
	exchange(t, connect(t, address, newClient), []byte("new"))
	exchange(t, stays, []byte("after"))
	r.with(func() {
		if e.ended != 0 {
			t.Error("the old connection was dropped")
		}
	})
	if err := tls.Client(connect(t, address, nil), oldClient).Handshake(); err == nil {
		t.Error("a client of the old authority believed the new certificate")
	}
	receive(t, "refusal", refused)
	breakFiles(t, c.files, func() {
		if err := c.reload(); err == nil {
			t.Error("bad files were taken")
		}
		exchange(t, connect(t, address, newClient), []byte("still"))
	})
}

// TestNoResumption: a certificate is looked at each time.
func TestNoResumption(t *testing.T) {
	ca := newAuthority(t, "lab")
	r := newLoopRig(t, loopOptions{})
	address, _ := r.listen(listenOptions{Certs: ca.issue(time.Hour, "server").load(ca)})
	config := ca.issue(time.Hour, "client").config("server")
	config.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	for range 3 {
		conn := connect(t, address, config)
		exchange(t, conn, []byte("x"))
		if conn.(*tls.Conn).ConnectionState().DidResume {
			t.Fatal("a session was resumed")
		}
		_ = conn.Close()
	}
}

// stall begins a handshake from an address of the loopback, and lets it stand.
func stall(t *testing.T, from net.IP, port string, hello []byte) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	conn, err := dialer.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write(hello); err != nil {
		t.Fatal(err)
	}
}

// TestStalledHandshakes: those who let theirs stand from many addresses, and fill
// the pool without any of them having more than its share, give way to others.
func TestStalledHandshakes(t *testing.T) {
	ca := newAuthority(t, "lab")
	r := newLoopRig(t, loopOptions{})
	o := listenOptions{Address: "0.0.0.0:0", Certs: ca.issue(time.Hour, "server").load(ca), HandshakeTimeout: 10 * time.Second}
	refusals(&o)
	address, _ := r.listen(o)
	_, port, _ := net.SplitHostPort(address)
	hello := clientHello(t)
	for i := range handshakesMax {
		stall(t, net.IPv4(127, 0, 1, byte(1+i/handshakesPerAddressMax)), port, hello)
	}
	soon(t, "the pool is taken", func() bool {
		r.l.mu.Lock()
		defer r.l.mu.Unlock()
		return len(r.l.incoming.running) == handshakesMax
	})
	start := time.Now()
	exchange(t, connect(t, "127.0.0.1:"+port, ca.issue(time.Hour, "client").config("server")), []byte("x"))
	if took := time.Since(start); took > 4*handshakeStallMax {
		t.Errorf("a newcomer's handshake took %v", took)
	}
}

// TestSlowHandshakes: those who let theirs stand take their share of the pool,
// and leave a handshake from elsewhere its place.
func TestSlowHandshakes(t *testing.T) {
	ca := newAuthority(t, "lab")
	r := newLoopRig(t, loopOptions{})
	o := listenOptions{Address: "0.0.0.0:0", Certs: ca.issue(time.Hour, "server").load(ca), HandshakeTimeout: 2 * time.Second}
	refused := refusals(&o)
	address, _ := r.listen(o)
	_, port, _ := net.SplitHostPort(address)
	hello := clientHello(t)
	const flood = 24
	for range flood {
		stall(t, net.IPv4(127, 0, 0, 2), port, hello)
	}
	soon(t, "the share of the address is taken", func() bool {
		r.l.mu.Lock()
		defer r.l.mu.Unlock()
		return len(r.l.incoming.running) == handshakesPerAddressMax && len(r.l.incoming.queue) == flood-handshakesPerAddressMax
	})
	start := time.Now()
	exchange(t, connect(t, "127.0.0.1:"+port, ca.issue(time.Hour, "client").config("server")), []byte("x"))
	if took := time.Since(start); took > o.HandshakeTimeout/2 {
		t.Errorf("a handshake from elsewhere took %v", took)
	}
	for range flood {
		if was := receive(t, "refusal", refused); !errors.Is(was.cause, errSlow) {
			t.Errorf("refused: %v", was.cause)
		}
	}
}
