package gateway

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// quiet is a session that does not say who it is.
type quiet struct{ *echo }

func newQuiet(s *socket) *quiet { return &quiet{&echo{s: s, nextDue: never, end: make(chan error, 1)}} }

// sessionsOf makes o accept quiet sessions, which show up in the channel.
func sessionsOf(o *listenOptions) chan *quiet {
	sessions := make(chan *quiet, 20000)
	o.Accept = func(s *socket) session {
		q := newQuiet(s)
		sessions <- q
		return q
	}
	return sessions
}

// TestUnauthenticatedBytes: what the limit allows is taken, and not a byte more.
func TestUnauthenticatedBytes(t *testing.T) {
	ca := newAuthority(t, "lab")
	for _, name := range []string{"plain", "tls"} {
		t.Run(name, func(t *testing.T) {
			r := newLoopRig(t, loopOptions{})
			var o listenOptions
			if name == "tls" {
				o.Certs = ca.issue(time.Hour, "server").load(ca)
			}
			sessions := sessionsOf(&o)
			address, _ := r.listen(o)
			var conn io.ReadWriter
			if name == "tls" {
				conn = connect(t, address, ca.issue(time.Hour, "client").config("server"))
			} else {
				plain := connect(t, address, nil)
				_, _ = plain.Write([]byte("x"))
				conn = plain
			}
			q := receive(t, "accept", sessions)
			var left int
			soon(t, "the first byte is taken", func() bool {
				r.l.mu.Lock()
				defer r.l.mu.Unlock()
				left = q.s.allowance
				return name == "tls" || left == unauthenticatedBytesMax-1
			})
			if name == "tls" && (left < unauthenticatedBytesMax/2 || left >= unauthenticatedBytesMax-100) {
				t.Errorf("the handshake has left %d bytes", left)
			}
			if _, err := conn.Write(make([]byte, left)); err != nil {
				t.Fatal(err)
			}
			soon(t, "all that is allowed is taken", func() bool {
				r.l.mu.Lock()
				defer r.l.mu.Unlock()
				return q.s.allowance == 0
			})
			r.with(func() {
				if q.ended != 0 {
					t.Error("closed at the limit")
				}
			})
			_, _ = conn.Write([]byte("x"))
			if err := q.ending(t); !errors.Is(err, errChatty) {
				t.Errorf("closed by %v", err)
			}
		})
	}
}

// TestAuthenticated: the limits end when the session says so.
func TestAuthenticated(t *testing.T) {
	r := newLoopRig(t, loopOptions{})
	o := listenOptions{HandshakeTimeout: 100 * time.Millisecond}
	sessions := sessionsOf(&o)
	address, _ := r.listen(o)
	conn := connect(t, address, nil)
	_, _ = conn.Write([]byte("x"))
	q := receive(t, "accept", sessions)
	r.with(q.s.authenticated)
	time.Sleep(150 * time.Millisecond)
	_, _ = conn.Write(make([]byte, 4*unauthenticatedBytesMax))
	if _, err := io.ReadFull(conn, make([]byte, 4*unauthenticatedBytesMax)); err != nil {
		t.Fatal(err)
	}
	r.with(func() {
		if len(r.l.waiting.sockets) != 0 {
			t.Errorf("%d wait", len(r.l.waiting.sockets))
		}
	})
}

// TestHandshakeTimeout: silent, dripping and stalled ones go in time.
func TestHandshakeTimeout(t *testing.T) {
	ca := newAuthority(t, "lab")
	r := newLoopRig(t, loopOptions{})
	const limit = 200 * time.Millisecond
	secret := listenOptions{Certs: ca.issue(time.Hour, "server").load(ca), HandshakeTimeout: limit}
	refused := refusals(&secret)
	tlsAddress, _ := r.listen(secret)
	open := listenOptions{HandshakeTimeout: limit}
	openRefused, sessions := refusals(&open), sessionsOf(&open)
	plainAddress, _ := r.listen(open)
	hello := clientHello(t)
	for name, p := range map[string][]byte{"silent": nil, "half a record": hello[:20], "a record": hello} {
		conn, start := connect(t, tlsAddress, nil), time.Now()
		_, _ = conn.Write(p)
		was := receive(t, name, refused)
		if took := time.Since(start); !errors.Is(was.cause, errSlow) || took < limit*3/4 || took > 20*limit {
			t.Errorf("%s: after %v refused by %v", name, took, was.cause)
		}
	}
	connect(t, plainAddress, nil)
	if was := receive(t, "silent", openRefused); !errors.Is(was.cause, errSlow) {
		t.Errorf("refused by %v", was.cause)
	}
	conn := connect(t, plainAddress, nil)
	_, _ = conn.Write([]byte("x"))
	if err := receive(t, "accept", sessions).ending(t); !errors.Is(err, errSlow) {
		t.Errorf("closed by %v", err)
	}
}

// from connects from an address of the loopback network.
func from(t *testing.T, host byte, port string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, host)}, Timeout: 5 * time.Second}
	conn, err := d.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestUnauthenticatedMax: for a new one goes the oldest of the same address when
// that has its share, else the oldest of the address that has most.
func TestUnauthenticatedMax(t *testing.T) {
	r := newLoopRig(t, loopOptions{})
	o := listenOptions{Address: "0.0.0.0:0", HandshakeTimeout: time.Minute}
	refused := refusals(&o)
	address, _ := r.listen(o)
	_, port, _ := net.SplitHostPort(address)
	waiting := func(n int) {
		t.Helper()
		soon(t, "they are accepted", func() bool {
			r.l.mu.Lock()
			defer r.l.mu.Unlock()
			return len(r.l.waiting.sockets) == n
		})
	}
	gone := func(conn net.Conn) {
		t.Helper()
		if was := receive(t, "refusal", refused); !errors.Is(was.cause, errCrowded) || was.remote != conn.LocalAddr().String() {
			t.Errorf("refused: %v, expected %v", was, conn.LocalAddr())
		}
	}
	perHost := unauthenticatedPerAddressMax
	var all []net.Conn
	for host := range byte(unauthenticatedMax / perHost) {
		for range perHost {
			all = append(all, from(t, host+1, port))
			waiting(len(all))
		}
	}
	if len(refused) != 0 {
		t.Fatal("some went at the limit")
	}
	from(t, 2, port) // one more of the second host
	gone(all[perHost])
	waiting(unauthenticatedMax)
	from(t, 200, port) // one of a new host
	gone(all[0])
	waiting(unauthenticatedMax)
	from(t, 201, port) // now the first host has not the most any more
	gone(all[perHost+1])
	waiting(unauthenticatedMax)
}

func TestOrigin(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"10.0.0.1:1", "10.0.0.1:2", true},
		{"10.0.0.1:1", "10.0.0.2:1", false},
		{"[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::2]:1", true},
		{"[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false},
		{"[fe80::1%eth0]:1", "[fe80::2%eth1]:1", true},
	} {
		if got := origin(netip.MustParseAddrPort(test.a)) == origin(netip.MustParseAddrPort(test.b)); got != test.same {
			t.Errorf("%s and %s: %v", test.a, test.b, got)
		}
	}
}

// TestFeedsAccept: peers that need not say who they are have no such limits, and
// a session at once.
func TestFeedsAccept(t *testing.T) {
	r := newLoopRig(t, loopOptions{})
	o := listenOptions{Plain: true, HandshakeTimeout: 50 * time.Millisecond}
	sessions := sessionsOf(&o)
	address, _ := r.listen(o)
	conn := connect(t, address, nil)
	q := receive(t, "accept", sessions)
	r.with(func() {
		q.out = []byte("you are connected")
		q.s.flush()
	})
	if _, err := io.ReadFull(conn, make([]byte, 17)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	exchange(t, conn, noise(t, 1<<20))
}

// TestAcceptRefuses: a listener may have no session for a connection, or close
// it by itself.
func TestAcceptRefuses(t *testing.T) {
	r := newLoopRig(t, loopOptions{})
	var o listenOptions
	refused := refusals(&o)
	for name, accept := range map[string]func(*socket) session{
		"nil":    func(*socket) session { return nil },
		"closed": func(s *socket) session { s.close(errors.New("no")); return newEcho(s) },
	} {
		o.Accept = accept
		address, _ := r.listen(o)
		conn := connect(t, address, nil)
		_, _ = conn.Write([]byte("x"))
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(refused) != 0 {
		t.Error("who refused was told that it did")
	}
}

func TestListenerClose(t *testing.T) {
	r := newLoopRig(t, loopOptions{})
	var ln *listener
	r.with(func() {
		var err error
		ln, err = r.l.listen(listenOptions{Address: "127.0.0.1:0", Accept: func(s *socket) session { return newEcho(s) }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.l.listen(listenOptions{Address: ln.addr()}); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("a second listener: %v", err)
		}
	})
	conn := connect(t, ln.addr(), nil)
	exchange(t, conn, []byte("x"))
	r.with(func() { ln.close(); ln.close() })
	exchange(t, conn, []byte("stays"))
	if _, err := net.Dial("tcp", ln.addr()); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("dial: %v", err)
	}
}

// TestDescriptorsRunOut: an accept that fails neither spins nor stops, and a
// connection that has not said who it is goes for a new one.
func TestDescriptorsRunOut(t *testing.T) {
	r := newLoopRig(t, loopOptions{})
	o := listenOptions{HandshakeTimeout: time.Minute}
	refused := refusals(&o)
	o.Accept = func(s *socket) session { return newEcho(s) }
	address, _ := r.listen(o)
	exchange(t, connect(t, address, nil), []byte("x")) // so that Go has all it opens for itself

	var free [6]int // what the next opens get
	for i := range free {
		var err error
		if free[i], err = syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, fd := range free {
		_ = syscall.Close(fd)
	}
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	limit := func(n int) {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(n), Max: before.Max}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { limit(int(before.Cur)) })
	limit(free[1]) // one, for this end of the connection
	first := connect(t, address, nil)
	soon(t, "an accept has failed", func() bool {
		r.l.mu.Lock()
		defer r.l.mu.Unlock()
		for _, ln := range r.l.listeners {
			return ln.failing
		}
		return false
	})
	turns := r.turns.Load()
	time.Sleep(3 * acceptRetryMin)
	if n := r.turns.Load() - turns; n > 10 {
		t.Errorf("%d turns while nothing could be accepted", n)
	}
	limit(free[4])
	exchange(t, first, []byte("x"))

	silent := connect(t, address, nil) // takes the last two
	soon(t, "it waits", func() bool {
		r.l.mu.Lock()
		defer r.l.mu.Unlock()
		return len(r.l.waiting.sockets) == 1
	})
	limit(free[5])
	second := connect(t, address, nil) // no descriptor for its other end
	exchange(t, second, []byte("x"))
	if was := receive(t, "refusal", refused); !errors.Is(was.cause, errCrowded) || was.remote != silent.LocalAddr().String() {
		t.Errorf("refused: %v", was)
	}
}
