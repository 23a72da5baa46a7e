package gateway

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// clientHello is the first record of a client of crypto/tls.
func clientHello(t testing.TB) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	go func() {
		_ = tls.Client(near, &tls.Config{ServerName: "server", MinVersion: tls.VersionTLS13}).Handshake()
		_ = near.Close()
	}()
	header := make([]byte, tlsHeaderBytes)
	if _, err := io.ReadFull(far, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(far, body); err != nil {
		t.Fatal(err)
	}
	return append(header, body...)
}

func TestFirstRecord(t *testing.T) {
	hello := clientHello(t)
	for n := 1; n <= len(hello); n++ {
		whole, err := firstRecord(hello[:n])
		if err != nil || whole != (n == len(hello)) {
			t.Fatalf("%d of %d bytes: %v, %v", n, len(hello), whole, err)
		}
	}
	if whole, err := firstRecord(append(hello, 1, 2, 3)); !whole || err != nil {
		t.Errorf("with bytes behind it: %v, %v", whole, err)
	}
	largest := append([]byte{22, 3, 1, 0, 0}, make([]byte, unauthenticatedBytesMax-tlsHeaderBytes)...)
	binary.BigEndian.PutUint16(largest[3:], uint16(len(largest)-tlsHeaderBytes))
	if whole, err := firstRecord(largest); !whole || err != nil {
		t.Errorf("the largest: %v, %v", whole, err)
	}
	binary.BigEndian.PutUint16(largest[3:], uint16(len(largest)-tlsHeaderBytes+1))
	for name, p := range map[string][]byte{
		"one byte more": largest[:5], "other type": {23}, "other version": {22, 2}, "words": []byte("GET / HTTP/1.1"),
	} {
		if _, err := firstRecord(p); !errors.Is(err, errNotTLS) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzFirstRecord(f *testing.F) {
	f.Add([]byte{22, 3, 1, 0, 1, 0})
	f.Add([]byte("BRKDLINK"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) == 0 {
			return
		}
		whole, err := firstRecord(p)
		if whole && (err != nil || len(p) < tlsHeaderBytes || p[0] != tlsHandshakeType) {
			t.Fatalf("%x: whole, %v", p, err)
		}
		if err != nil && !errors.Is(err, errNotTLS) {
			t.Fatal(err)
		}
	})
}

// refusal is what a listener was told of a connection.
type refusal struct {
	remote string
	cause  error
}

func refusals(o *listenOptions) chan refusal {
	c := make(chan refusal, 20000)
	o.Refused = func(remote string, cause error) { c <- refusal{remote, cause} }
	return c
}

// TestPlainClient: one that does not speak TLS is told so in its own words, and
// reads them although it goes on sending.
func TestPlainClient(t *testing.T) {
	ca := newAuthority(t, "lab")
	r := newLoopRig(t, loopOptions{})
	o := listenOptions{Certs: ca.issue(time.Hour, "server").load(ca), PlainReply: []byte("this port speaks TLS")}
	refused := refusals(&o)
	address, _ := r.listen(o)
	for name, p := range map[string][]byte{
		"link": append([]byte("BRKDLINK"), make([]byte, 100<<10)...), "one byte": {0}, "garbage": noise(t, 3000),
	} {
		t.Run(name, func(t *testing.T) {
			if p[0] == tlsHandshakeType {
				p[0] = 1
			}
			conn := connect(t, address, nil)
			go func() { _, _ = conn.Write(p) }()
			got, err := io.ReadAll(conn)
			if err != nil || !bytes.Equal(got, o.PlainReply) {
				t.Errorf("the client read %q, %v", got, err)
			}
			was := receive(t, "refusal", refused)
			if !errors.Is(was.cause, errNotTLS) || was.remote != conn.LocalAddr().String() {
				t.Errorf("refused: %v", was)
			}
		})
	}
}

// TestTLSClientOfPlainListener gets words that are no TLS, and says so.
func TestTLSClientOfPlainListener(t *testing.T) {
	ca := newAuthority(t, "lab")
	r := newLoopRig(t, loopOptions{})
	address, sessions := r.listen(listenOptions{})
	result, _ := r.dial(dialOptions{Address: address, Certs: ca.issue(time.Hour, "client").load(ca), ServerName: "server"})
	e := receive(t, "accept", sessions)
	_ = e // it echoes the client's hello
	got := receive(t, "dial", result)
	if !errors.Is(got.err, errNotTLS) && !errors.Is(got.err, errHandshake) {
		t.Errorf("dial: %v", got.err)
	}
	t.Log(got.err)
}
