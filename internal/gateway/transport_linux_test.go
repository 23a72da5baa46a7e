package gateway

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// clientOf connects with the standard library to a listener, with or without TLS.
func clientOf(t *testing.T, secure bool) (r *loopRig, conn net.Conn, e *echo) {
	t.Helper()
	r = newLoopRig(t, loopOptions{})
	var o listenOptions
	var config *tls.Config
	if secure {
		ca := newAuthority(t, "lab")
		o.Certs = ca.issue(time.Hour, "server").load(ca)
		config = ca.issue(time.Hour, "client").config("server")
	}
	address, sessions := r.listen(o)
	conn = connect(t, address, config)
	exchange(t, conn, []byte("hello"))
	return r, conn, receive(t, "accept", sessions)
}

// withClient gives both ends of a connection to test, once without TLS and once with
// it.
func withClient(t *testing.T, test func(t *testing.T, r *loopRig, conn net.Conn, e *echo)) {
	for _, name := range []string{"plain", "tls"} {
		t.Run(name, func(t *testing.T) {
			r, conn, e := clientOf(t, name == "tls")
			test(t, r, conn, e)
		})
	}
}

func rawConn(conn net.Conn) *net.TCPConn {
	if c, ok := conn.(*tls.Conn); ok {
		conn = c.NetConn()
	}
	return conn.(*net.TCPConn)
}

// TestTinyBuffers: every read and write is short, and both ends block.
func TestTinyBuffers(t *testing.T) {
	const tinyBytes = 16 << 10 // much less makes the kernel wait for its timers
	withClient(t, func(t *testing.T, r *loopRig, conn net.Conn, e *echo) {
		r.with(func() {
			for _, option := range []int{unix.SO_SNDBUF, unix.SO_RCVBUF} {
				if err := unix.SetsockoptInt(e.s.fd, unix.SOL_SOCKET, option, tinyBytes); err != nil {
					t.Error(err)
				}
			}
		})
		if err := errors.Join(rawConn(conn).SetReadBuffer(tinyBytes), rawConn(conn).SetWriteBuffer(tinyBytes)); err != nil {
			t.Fatal(err)
		}
		exchange(t, conn, noise(t, 256<<10))
	})
}

// TestManySlices: more of them than one system call takes.
func TestManySlices(t *testing.T) {
	withClient(t, func(t *testing.T, r *loopRig, conn net.Conn, e *echo) {
		want := noise(t, 5000*3*iovecsMax)
		r.with(func() {
			e.out = bytes.Clone(want)
			e.s.flush()
		})
		got := make([]byte, len(want))
		if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v, equal: %v", err, bytes.Equal(got, want))
		}
	})
}

// TestLanding: bytes go where the session wants them, and the rest to input.
func TestLanding(t *testing.T) {
	withClient(t, func(t *testing.T, r *loopRig, conn net.Conn, e *echo) {
		for _, n := range []int{1, 100, 70_000, receiveBytesMax + 1, 2 << 20} {
			place, want := make([]byte, n), noise(t, n+1000)
			r.with(func() {
				e.keep, e.kept, e.landing = true, nil, place
			})
			if _, err := conn.Write(want); err != nil {
				t.Fatal(err)
			}
			soon(t, "all is there", func() bool {
				r.l.mu.Lock()
				defer r.l.mu.Unlock()
				return len(e.kept) == len(want)
			})
			r.with(func() {
				if !bytes.Equal(e.kept, want) || !bytes.Equal(place, want[:n]) {
					t.Errorf("%d bytes did not land as they were", n)
				}
			})
		}
	})
}

// TestLandingSparesCopies: of frames that have a landing place behind their header
// hardly more than the header goes through the loop's buffer.
func TestLandingSparesCopies(t *testing.T) {
	const headerBytes, bodyBytes, frames = 64, receiveBytesMax, 16
	withClient(t, func(t *testing.T, r *loopRig, conn net.Conn, e *echo) {
		copied, header, want := 0, 0, noise(t, frames*(headerBytes+bodyBytes))
		r.with(func() {
			e.keep, e.kept = true, nil
			e.onInput = func(p []byte) error {
				copied += len(p)
				e.take(p)
				for len(p) > 0 {
					n := min(headerBytes-header, len(p))
					header, p = header+n, p[n:]
					if header < headerBytes {
						break
					}
					header, n = 0, min(bodyBytes, len(p))
					e.landing, p = make([]byte, bodyBytes-n), p[n:]
				}
				return nil
			}
		})
		if _, err := conn.Write(want); err != nil {
			t.Fatal(err)
		}
		soon(t, "all is there", func() bool {
			r.l.mu.Lock()
			defer r.l.mu.Unlock()
			return len(e.kept) == len(want)
		})
		r.with(func() {
			// The first read knows nothing; another may see half a header.
			if most := frames*aheadBytesMax + 2*receiveBytesMax; copied > most || !bytes.Equal(e.kept, want) {
				t.Errorf("%d bytes of %d were copied, want at most %d; equal: %v", copied, len(want), most, bytes.Equal(e.kept, want))
			}
		})
	})
}

// TestHalfClose: all that was sent before the end is taken before closed comes,
// and what the session still has to say arrives.
func TestHalfClose(t *testing.T) {
	withClient(t, func(t *testing.T, r *loopRig, conn net.Conn, e *echo) {
		want := noise(t, 300_000)
		r.with(func() { e.keep, e.kept = true, nil })
		if _, err := conn.Write(want); err != nil {
			t.Fatal(err)
		}
		soon(t, "all is there", func() bool {
			r.l.mu.Lock()
			defer r.l.mu.Unlock()
			return len(e.kept) == len(want)
		})
		r.with(func() {
			e.onInput = func(p []byte) error {
				e.take(p)
				e.out = []byte("last words")
				return nil
			}
		})
		_, _ = conn.Write([]byte("."))
		if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if err := e.ending(t); !errors.Is(err, errEnded) {
			t.Errorf("closed by %v", err)
		}
		r.with(func() {
			if !bytes.Equal(e.kept, append(want, '.')) {
				t.Errorf("%d bytes of %d came", len(e.kept), len(want)+1)
			}
		})
		if got, err := io.ReadAll(conn); err != nil || string(got) != "last words" {
			t.Errorf("the client read %q, %v", got, err)
		}
	})
}

func TestReset(t *testing.T) {
	withClient(t, func(t *testing.T, r *loopRig, conn net.Conn, e *echo) {
		if err := rawConn(conn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		if err := rawConn(conn).Close(); err != nil {
			t.Fatal(err)
		}
		err := e.ending(t)
		if !errors.Is(err, errBroken) || !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("closed by %v", err)
		}
	})
}

// TestCutMidRecord: a bare end of the stream inside a TLS record or frame is the
// end, and nothing half is handed on.
func TestCutMidRecord(t *testing.T) {
	_, conn, e := clientOf(t, true)
	raw := rawConn(conn)
	if _, err := raw.Write([]byte{23, 3, 3, 1, 0, 7, 7}); err != nil {
		t.Fatal(err)
	}
	_ = raw.CloseWrite()
	if err := e.ending(t); !errors.Is(err, errEnded) {
		t.Errorf("closed by %v", err)
	}
}

// TestGarbageInTLS: a record that cannot be decrypted ends the connection with
// an alert.
func TestGarbageInTLS(t *testing.T) {
	_, conn, e := clientOf(t, true)
	record := append([]byte{23, 3, 3, 1, 0}, make([]byte, 256)...)
	if _, err := rawConn(conn).Write(record); err != nil {
		t.Fatal(err)
	}
	if err := e.ending(t); !errors.Is(err, errHandshake) {
		t.Errorf("closed by %v", err)
	}
	if _, err := io.ReadAll(conn); err == nil || err.Error() != "remote error: tls: bad record MAC" {
		t.Errorf("the client was told %v", err)
	}
}

// TestSessionErrors: what a session returns closes its socket, after its last
// words.
func TestSessionErrors(t *testing.T) {
	withClient(t, func(t *testing.T, r *loopRig, conn net.Conn, e *echo) {
		bad := errors.New("bad frame")
		r.with(func() {
			e.onInput = func(p []byte) error {
				e.out = append(e.out, "the reason"...)
				return fmt.Errorf("at %d: %w", len(p), bad)
			}
		})
		// The client goes on sending: a plain close would reset the connection,
		// and the reason could be lost.
		go func() { _, _ = conn.Write(make([]byte, lingerBytesMax/2)) }()
		got, err := io.ReadAll(conn)
		if string(got) != "the reason" || err != nil {
			t.Errorf("the client read %q, %v", got, err)
		}
		if err := e.ending(t); !errors.Is(err, bad) {
			t.Errorf("closed by %v", err)
		}
		r.with(func() {
			if e.ended != 1 {
				t.Errorf("closed %d times", e.ended)
			}
		})
	})
}

// TestLingerEnds: a peer that never closes its end does not hold the descriptor.
func TestLingerEnds(t *testing.T) {
	withClient(t, func(t *testing.T, r *loopRig, conn net.Conn, e *echo) {
		r.with(func() {
			e.s.close(errors.New("over"))
			if r.l.lingering != 1 {
				t.Errorf("%d linger", r.l.lingering)
			}
		})
		start := time.Now()
		soon(t, "it is gone", func() bool {
			r.l.mu.Lock()
			defer r.l.mu.Unlock()
			return r.l.lingering == 0 && len(r.l.sockets) == 0
		})
		if took := time.Since(start); took < lingerTimeMax/2 {
			t.Errorf("it was gone after %v", took)
		}
		_ = conn.Close()
	})
}

// TestLingerBytes: nor does one that never stops sending.
func TestLingerBytes(t *testing.T) {
	withClient(t, func(t *testing.T, r *loopRig, conn net.Conn, e *echo) {
		r.with(func() { e.s.close(errors.New("over")) })
		for {
			if _, err := rawConn(conn).Write(make([]byte, 1<<16)); err != nil {
				break
			}
		}
		soon(t, "it is gone", func() bool {
			r.l.mu.Lock()
			defer r.l.mu.Unlock()
			return len(r.l.sockets) == 0
		})
	})
}

// TestLingerMax: one more than may linger is closed at once.
func TestLingerMax(t *testing.T) {
	withClient(t, func(t *testing.T, r *loopRig, conn net.Conn, e *echo) {
		r.with(func() {
			r.l.lingering += lingerMax
			e.s.close(errors.New("over"))
			if e.s.state != gone {
				t.Errorf("state %d", e.s.state)
			}
			r.l.lingering -= lingerMax
		})
		if _, err := io.ReadAll(conn); err != nil {
			t.Error(err)
		}
	})
}
