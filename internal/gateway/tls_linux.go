package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"brokerd/internal/shmring"
)

// stream is the transport through TLS.
type stream struct {
	conn  *tls.Conn
	end   *sealed
	l     *loop
	certs *certs
	taken int     // bytes that the handshake has taken
	lent  *[]byte // of the loop, where end.out lies
}

// newServer and newClient return the stream of a socket whose handshake is to
// come.
func newServer(s *socket) *stream {
	t := &stream{end: &sealed{fd: s.fd, buffer: s.l.cipher, left: unauthenticatedBytesMax}, l: s.l, certs: s.from.o.Certs}
	t.conn = tls.Server(t.end, t.certs.server())
	return t
}

func newClient(s *socket, c *certs, serverName string) *stream {
	t := &stream{end: &sealed{fd: s.fd, buffer: s.l.cipher, left: unauthenticatedBytesMax}, l: s.l, certs: c}
	t.conn = tls.Client(t.end, c.client(serverName))
	return t
}

// handshake blocks, at most for limit. It runs in a goroutine of its own, which
// has the descriptor to itself.
func (t *stream) handshake(limit time.Duration, crypto chan struct{}) error {
	crypto <- struct{}{}
	defer func() { <-crypto }()
	t.end.blocking, t.end.deadline, t.end.crypto = true, time.Now().Add(limit), crypto
	err := t.conn.Handshake()
	t.end.blocking, t.end.crypto = false, nil
	t.taken = unauthenticatedBytesMax - t.end.left
	if err != nil {
		return explain(err, t.certs)
	}
	return nil
}

// identities are the names that the peer's verified certificate is for.
func (t *stream) identities() []string {
	chain := t.conn.ConnectionState().PeerCertificates
	if len(chain) == 0 {
		return nil // both sides demand one
	}
	return namesOf(chain[0])
}

func (t *stream) receive(direct, buffer []byte, hung bool) (n int, more bool, err error) {
	t.end.spent, t.end.more, t.end.hung, t.end.want = false, true, hung, len(direct)+len(buffer)
	fault := shmring.Guarded(func() {
		for _, p := range [2][]byte{direct, buffer} {
			for len(p) > 0 && err == nil {
				var k int
				k, err = t.conn.Read(p)
				n, p = n+k, p[k:]
			}
		}
	})
	t.end.keep()
	switch {
	case fault != nil:
		return n, false, fmt.Errorf("receive: %w: %w", errFault, fault)
	case err == nil:
		return n, true, nil // what follows may be decrypted already: no event will tell
	case errors.Is(err, wouldBlock{}):
		return n, t.end.more, nil
	}
	return n, false, explain(err, t.certs)
}

// send encrypts only when the kernel has taken all that was encrypted before: so
// a socket whose peer does not read keeps at most sealBytesMax and a little.
func (t *stream) send(bufs [][]byte) (n int, full bool, err error) {
	if full, err = t.drain(); full || err != nil {
		return 0, full, err
	}
	if len(bufs) == 0 {
		return 0, false, nil
	}
	t.lent = t.l.seals.Get().(*[]byte)
	t.end.out = (*t.lent)[:0]
	fault := shmring.Guarded(func() { n, err = t.encrypt(bufs) })
	if fault != nil {
		err = fmt.Errorf("send: %w: %w", errFault, fault)
	}
	if err == nil {
		full, err = t.drain()
	}
	return n, full, err
}

// drain gives the kernel what it takes, and memory back when all is gone.
func (t *stream) drain() (full bool, err error) {
	full, err = t.end.drain()
	if len(t.end.out) == 0 && t.lent != nil {
		t.l.seals.Put(t.lent)
		t.lent = nil
	}
	return full, err
}

// encrypt makes records of the first sealBytesMax bytes of bufs: full ones where
// a slice is long, else several slices in one.
func (t *stream) encrypt(bufs [][]byte) (n int, err error) {
	record := t.l.gather[:0]
	for _, b := range bufs {
		b = b[:min(len(b), sealBytesMax-n)]
		n += len(b)
		for len(b) > 0 && err == nil {
			if whole := len(b) - len(b)%recordBytesMax; len(record) == 0 && whole > 0 {
				_, err = t.conn.Write(b[:whole])
				b = b[whole:]
				continue
			}
			k := min(len(b), recordBytesMax-len(record))
			record, b = append(record, b[:k]...), b[k:]
			if len(record) == recordBytesMax {
				_, err = t.conn.Write(record)
				record = record[:0]
			}
		}
	}
	if len(record) > 0 && err == nil {
		_, err = t.conn.Write(record)
	}
	return n, err
}

func (t *stream) pending() bool { return len(t.end.out) > 0 }

func (t *stream) finish() {
	// What does not fit any more is lost, and so is the reason for an error.
	_ = t.conn.CloseWrite()
	_, _ = t.drain()
}
