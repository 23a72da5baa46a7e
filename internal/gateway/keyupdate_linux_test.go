package gateway

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// traffic is one direction of a TLS 1.3 connection after its handshake, with
// TLS_AES_128_GCM_SHA256: crypto/tls never asks for a KeyUpdate, so the test
// speaks the records itself.
type traffic struct {
	t      *testing.T
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	count  uint64
}

func newTraffic(t *testing.T, secret []byte) *traffic {
	tr := &traffic{t: t}
	tr.use(secret)
	return tr
}

func (tr *traffic) use(secret []byte) {
	tr.secret, tr.count = secret, 0
	block, err := aes.NewCipher(tr.derive("key", 16))
	if err != nil {
		tr.t.Fatal(err)
	}
	if tr.aead, err = cipher.NewGCM(block); err != nil {
		tr.t.Fatal(err)
	}
	tr.iv = tr.derive("iv", 12)
}

// update goes on to the next keys.
func (tr *traffic) update() { tr.use(tr.derive("traffic upd", 32)) }

// derive is HKDF-Expand-Label of RFC 8446 without a context.
func (tr *traffic) derive(label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(info, "tls13 "+label...)
	p, err := hkdf.Expand(sha256.New, tr.secret, string(append(info, 0)), n)
	if err != nil {
		tr.t.Fatal(err)
	}
	return p
}

func (tr *traffic) nonce() []byte {
	nonce := bytes.Clone(tr.iv)
	for i := range 8 {
		nonce[4+i] ^= byte(tr.count >> (56 - 8*i))
	}
	tr.count++
	return nonce
}

// seal makes a record of inner type kind.
func (tr *traffic) seal(kind byte, p []byte) []byte {
	inner := append(bytes.Clone(p), kind)
	header := binary.BigEndian.AppendUint16([]byte{23, 3, 3}, uint16(len(inner)+tr.aead.Overhead()))
	return append(header, tr.aead.Seal(nil, tr.nonce(), inner, header)...)
}

// open reads a record.
func (tr *traffic) open(r io.Reader) (kind byte, p []byte) {
	tr.t.Helper()
	header := make([]byte, tlsHeaderBytes)
	if _, err := io.ReadFull(r, header); err != nil {
		tr.t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(r, body); err != nil {
		tr.t.Fatal(err)
	}
	inner, err := tr.aead.Open(nil, tr.nonce(), body, header)
	if err != nil {
		tr.t.Fatal(err)
	}
	return inner[len(inner)-1], inner[:len(inner)-1]
}

// secrets finds the secrets of both directions in a key log.
func secrets(t *testing.T, log string) (client, server []byte) {
	t.Helper()
	for line := range strings.Lines(log) {
		var label, random, secret string
		if _, err := fmt.Sscan(line, &label, &random, &secret); err != nil {
			t.Fatal(err)
		}
		p, err := hex.DecodeString(secret)
		if err != nil {
			t.Fatal(err)
		}
		switch label {
		case "CLIENT_TRAFFIC_SECRET_0":
			client = p
		case "SERVER_TRAFFIC_SECRET_0":
			server = p
		}
	}
	return client, server
}

const (
	tlsHandshakeRecord, tlsDataRecord = 22, 23
	keyUpdateRequested                = "\x18\x00\x00\x01\x01"
	keyUpdateNotRequested             = "\x18\x00\x00\x01\x00"
)

// TestKeyUpdate: the answer to a KeyUpdate, which a read makes, is sent although
// the session has nothing to say; and both directions go on with new keys.
func TestKeyUpdate(t *testing.T) {
	ca := newAuthority(t, "lab")
	r := newLoopRig(t, loopOptions{})
	address, sessions := r.listen(listenOptions{Certs: ca.issue(time.Hour, "server").load(ca)})
	config := ca.issue(time.Hour, "client").config("server")
	var log bytes.Buffer
	config.KeyLogWriter = &log
	conn := connect(t, address, config)
	if suite := conn.(*tls.Conn).ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		t.Skipf("this machine prefers %s: run the test on one with AES instructions", tls.CipherSuiteName(suite))
	}
	receive(t, "accept", sessions)
	raw := rawConn(conn)
	clientSecret, serverSecret := secrets(t, log.String())
	out, in := newTraffic(t, clientSecret), newTraffic(t, serverSecret)
	write := func(p []byte) {
		t.Helper()
		if _, err := raw.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		write(out.seal(tlsHandshakeRecord, []byte(keyUpdateRequested)))
		out.update()
		if kind, p := in.open(raw); kind != tlsHandshakeRecord || string(p) != keyUpdateNotRequested {
			t.Fatalf("the answer is %d %q", kind, p)
		}
		in.update()
		write(out.seal(tlsDataRecord, []byte("with new keys")))
		if kind, p := in.open(raw); kind != tlsDataRecord || string(p) != "with new keys" {
			t.Fatalf("the echo is %d %q", kind, p)
		}
	}
	// Many of them without data are an attack, and end the connection.
	go func() {
		for range 100 {
			_, err := raw.Write(out.seal(tlsHandshakeRecord, []byte(keyUpdateRequested)))
			if err != nil {
				return
			}
			out.update()
		}
	}()
	_, _ = io.Copy(io.Discard, raw)
	soon(t, "the connection is gone", func() bool {
		r.l.mu.Lock()
		defer r.l.mu.Unlock()
		return len(r.l.sockets) == 0
	})
}
