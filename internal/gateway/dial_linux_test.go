package gateway

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// freePort is one that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

func TestDialFails(t *testing.T) {
	r := newLoopRig(t, loopOptions{})
	for _, test := range []struct {
		address string
		is      error
		words   string
	}{
		{freePort(t), unix.ECONNREFUSED, "127.0.0.1:"},
		{"host", errResolve, "not host:port"},
		{"host:brokerd", errResolve, "must be a number"},
		{"host:65536", errResolve, "must be a number"},
		{"no-such-host.invalid:1", errResolve, "no-such-host.invalid"},
	} {
		result, _ := r.dial(dialOptions{Address: test.address})
		got := receive(t, test.address, result)
		if got.err == nil || !errors.Is(got.err, test.is) || !strings.Contains(got.err.Error(), test.words) {
			t.Errorf("%s: %v", test.address, got.err)
		}
	}
}

// TestDialTriesAll: a name with several addresses, of which one answers.
func TestDialTriesAll(t *testing.T) {
	r := newLoopRig(t, loopOptions{})
	address, sessions := r.listen(listenOptions{Plain: true})
	good := netip.MustParseAddrPort(address)
	bad := netip.AddrPortFrom(netip.IPv6Loopback(), good.Port())
	addresses := []netip.AddrPort{bad, bad, good}
	done := make(chan error, 1)
	attempt := func(addresses []netip.AddrPort) {
		r.with(func() {
			d := &dialing{l: r.l, stop: func() {}, o: dialOptions{Timeout: 5 * time.Second, Done: func(s *socket, err error) session {
				done <- err
				if err != nil {
					return nil
				}
				return newEcho(s)
			}}}
			d.timer.fire = d.expired
			d.resolved(addresses, nil, r.l.now())
		})
	}
	attempt(addresses)
	if err := receive(t, "dial", done); err != nil {
		t.Fatal(err)
	}
	receive(t, "accept", sessions)
	attempt(addresses[:2])
	if err := receive(t, "dial", done); !errors.Is(err, unix.ECONNREFUSED) || strings.Count(err.Error(), "::1") != 2 {
		t.Errorf("two addresses that refuse: %v", err)
	}
}

func TestResolve(t *testing.T) {
	resolver := &net.Resolver{PreferGo: true}
	for address, want := range map[string]string{"192.0.2.1:7": "192.0.2.1:7", "[2001:db8::1]:8": "[2001:db8::1]:8", "[::ffff:10.0.0.1]:9": "10.0.0.1:9"} {
		got, err := resolve(t.Context(), resolver, address)
		if err != nil || len(got) != 1 || got[0].String() != want {
			t.Errorf("%s: %v, %v", address, got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := resolve(ctx, resolver, "localhost.:1"); err == nil {
		t.Log("answered from a file")
	} else if !errors.Is(err, errResolve) {
		t.Error(err)
	}
}

func TestTakeTurns(t *testing.T) {
	six, four := netip.IPv6Loopback(), netip.MustParseAddr("127.0.0.1")
	var addrs []netip.Addr
	for range dialAddressesMax {
		addrs = append(addrs, six)
	}
	if got := takeTurns(addrs, 1); len(got) != dialAddressesMax {
		t.Errorf("%d of %d", len(got), len(addrs))
	}
	got := takeTurns(append(addrs, four), 1)
	if len(got) != dialAddressesMax || got[0].Addr() != six || got[1].Addr() != four || got[2].Addr() != six {
		t.Errorf("turns: %v", got)
	}
	if got := takeTurns(nil, 1); len(got) != 0 {
		t.Errorf("of none: %v", got)
	}
}

// TestSocketOptions: the kernel watches both ends of a connection.
func TestSocketOptions(t *testing.T) {
	r := newLoopRig(t, loopOptions{DeadAfter: 2 * time.Second})
	address, sessions := r.listen(listenOptions{Plain: true})
	result, _ := r.dial(dialOptions{Address: address})
	for _, e := range []*echo{receive(t, "dial", result).e, receive(t, "accept", sessions)} {
		for option, want := range map[int]int{
			unix.TCP_NODELAY: 1, unix.TCP_KEEPIDLE: 2, unix.TCP_KEEPINTVL: 1,
			unix.TCP_KEEPCNT: keepAliveProbesMax, unix.TCP_USER_TIMEOUT: 2000 * unackedDeadAfterMax,
		} {
			r.with(func() {
				if got, err := unix.GetsockoptInt(e.s.fd, unix.IPPROTO_TCP, option); err != nil || got != want {
					t.Errorf("option %d is %d, %v; want %d", option, got, err, want)
				}
			})
		}
		r.with(func() {
			if got, err := unix.GetsockoptInt(e.s.fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE); err != nil || got != 1 {
				t.Errorf("keep-alive is %d, %v", got, err)
			}
		})
	}
}

// silentListener has a full queue: the kernel does not answer who connects.
func silentListener(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := addrPort(bound).String()
	for range 4 {
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			break
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	return address
}

// TestDialTimeout: no answer to the connect, and none to the TLS client.
func TestDialTimeout(t *testing.T) {
	ca := newAuthority(t, "lab")
	c := ca.issue(time.Hour, "client").load(ca)
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mute.Close() })
	silent := silentListener(t)
	r := newLoopRig(t, loopOptions{})
	const limit = 300 * time.Millisecond
	for name, address := range map[string]string{"connect": silent, "handshake": mute.Addr().String()} {
		start := time.Now()
		result, _ := r.dial(dialOptions{Address: address, Certs: c, ServerName: "server", Timeout: limit})
		got := receive(t, name, result)
		if took := time.Since(start); !errors.Is(got.err, errSlow) || took < limit*3/4 || took > 10*limit {
			t.Errorf("%s: after %v: %v", name, took, got.err)
		}
		result, cancel := r.dial(dialOptions{Address: address, Certs: c, ServerName: "server", Timeout: time.Minute})
		soon(t, "it is on its way", func() bool {
			r.l.mu.Lock()
			defer r.l.mu.Unlock()
			return len(r.l.sockets) == 1 && (name == "connect" || len(r.l.outgoing.running) == 1)
		})
		cancel()
		cancel()
		soon(t, "nothing is left of it", func() bool {
			r.l.mu.Lock()
			defer r.l.mu.Unlock()
			return len(r.l.sockets) == 0 && len(r.l.dials) == 0 && len(r.l.outgoing.running) == 0
		})
		if len(result) != 0 {
			t.Errorf("%s: Done was called after cancel", name)
		}
	}
	r.with(func() {
		cancel := r.l.dial(dialOptions{Address: silent, Done: func(*socket, error) session {
			t.Error("Done was called after cancel")
			return nil
		}})
		cancel() // before the look-up is done
	})
}

// TestDialToItself: the kernel may connect a socket to itself.
func TestDialToItself(t *testing.T) {
	r := newLoopRig(t, loopOptions{})
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	self, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, self); err != nil {
		t.Fatal(err)
	}
	s := &socket{l: r.l, fd: fd, peer: addrPort(self)}
	if !s.toItself() {
		t.Error("not noticed")
	}
	_ = unix.Close(fd)
}
