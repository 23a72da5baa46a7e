package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

type listenOptions struct {
	Address string // host:port; an empty host listens on all addresses, port 0 takes a free one
	Certs   *certs // nil: without TLS
	// HandshakeTimeout is how long a connection may take to say who it is; 0 for
	// the default.
	HandshakeTimeout time.Duration
	// Plain is for peers that do not say who they are: feeds. Accept is called at
	// once, and the limits on those who have not said it do not hold.
	Plain bool
	// Accept gives the session of a new connection, nil for none; it may keep s
	// and call its methods. It is called when the TLS handshake is done, without
	// TLS when the first bytes are there.
	Accept func(s *socket) session
	// Refused is told of connections that ended before Accept. May be nil.
	Refused func(remote string, cause error)
	// PlainReply is sent to a peer that does not speak TLS to a listener that
	// does, so that it can tell its operator. At most a few hundred bytes.
	PlainReply []byte
}

// listener owns its descriptor.
type listener struct {
	l       *loop
	o       listenOptions
	fd      int
	serial  int32
	address string
	timer   timer // accepts: at once when the poller says so, later when that failed
	failing bool
}

// listen begins to accept connections at an address. The caller holds the lock,
// unless the loop does not run yet. Errors are those of the system, with the
// address in them.
func (l *loop) listen(o listenOptions) (*listener, error) {
	if l.over {
		return nil, errStopped
	}
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = handshakeTimeoutDefault
	}
	if o.Refused == nil {
		o.Refused = func(string, error) {}
	}
	fd, address, err := openListener(o.Address)
	if err != nil {
		return nil, err
	}
	l.serial++
	ln := &listener{l: l, o: o, fd: fd, serial: l.serial, address: address}
	ln.timer.fire = ln.accept
	// Accepted sockets have the options of their listener.
	err = errors.Join(setOptions(fd, l.o.DeadAfter), l.register(fd, ln.serial, unix.EPOLLIN))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %s: %w", o.Address, err), unix.Close(fd))
	}
	l.listeners[int32(fd)] = ln
	return ln, nil
}

// openListener lets the net package understand the address, and takes a
// descriptor of its own of what that has opened.
func openListener(address string) (fd int, bound string, err error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // its sockets lack options that are used here
	opened, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return -1, "", err
	}
	defer func() { _ = opened.Close() }() // the duplicate listens on
	raw, err := opened.(*net.TCPListener).SyscallConn()
	if err != nil {
		return -1, "", err
	}
	var inner error
	err = raw.Control(func(n uintptr) { fd, inner = unix.FcntlInt(n, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, os.NewSyscallError("duplicate the listener", inner)); err != nil {
		return -1, "", err
	}
	return fd, opened.Addr().String(), nil
}

// setOptions makes a socket send at once, and lets the kernel find out about a
// peer that is gone without a word.
func setOptions(fd int, deadAfter time.Duration) error {
	idle := max(1, int(deadAfter/time.Second))
	for _, option := range []struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, idle},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveProbesMax},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unackedDeadAfterMax * max(deadAfter, time.Second) / time.Millisecond)},
	} {
		if err := unix.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			return fmt.Errorf("option %d of the socket: %w", option.name, err)
		}
	}
	return nil
}

// addr is the address that the listener has, its port filled in.
func (ln *listener) addr() string { return ln.address }

// close stops listening; accepted connections stay. The lock is held.
func (ln *listener) close() {
	if ln.fd < 0 {
		return
	}
	ln.l.timers.set(&ln.timer, never)
	delete(ln.l.listeners, int32(ln.fd))
	_ = unix.Close(ln.fd) // nobody has a use for the error
	ln.fd = -1
}

// accept takes what waits, within a turn. When the process is short of
// descriptors or memory it closes those who have not said who they are; if there
// is none, it comes back later: the edge will not be seen again, and a loop that
// tried at once would burn a core.
func (ln *listener) accept(now int64) {
	for range acceptTurnMax {
		fd, from, err := unix.Accept4(ln.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			ln.admit(fd, addrPort(from), now)
			if ln.fd < 0 {
				return
			}
		case errors.Is(err, unix.EAGAIN), scarce(err) && !ln.somebodyWaits():
			ln.recovered()
			return
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
		case scarce(err) && ln.l.evict(ln.l.waiting.leastWanted()):
		default:
			ln.failed(err)
			ln.l.schedule(&ln.timer, now+int64(acceptRetryMin))
			return
		}
	}
	ln.l.schedule(&ln.timer, now+1) // in the next turn
}

func scarce(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// somebodyWaits: an accept asks for a descriptor before it looks whether there
// is a connection.
func (ln *listener) somebodyWaits() bool {
	n, err := 0, error(unix.EINTR)
	for errors.Is(err, unix.EINTR) { // of the scheduler's signals
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(ln.fd), Events: unix.POLLIN}}, 0)
	}
	return n > 0 || err != nil
}

// failed and recovered log once each.
func (ln *listener) failed(err error) {
	if !ln.failing {
		ln.failing = true
		ln.l.o.Log.Error("connections cannot be accepted: raise LimitNOFILE if descriptors are short",
			zap.String("listen", ln.address), zap.Error(err))
	}
}

func (ln *listener) recovered() {
	if ln.failing {
		ln.failing = false
		ln.l.o.Log.Info("connections are accepted again", zap.String("listen", ln.address))
	}
}

// admit makes a socket of an accepted descriptor, which it takes over.
func (ln *listener) admit(fd int, from netip.AddrPort, now int64) {
	l := ln.l
	if len(l.sockets) >= l.socketsMax {
		l.evict(l.waiting.leastWanted()) // which may give its descriptor back only in a moment
	}
	if len(l.sockets) >= l.socketsMax {
		_ = unix.Close(fd) // nothing was said yet
		ln.o.Refused(from.String(), fmt.Errorf("%w: %d connections are open, as many as the limit of open files allows (LimitNOFILE)", errCrowded, l.socketsMax))
		return
	}
	s, err := l.adopt(fd, from, greeting)
	if err != nil {
		ln.o.Refused(from.String(), err)
		return
	}
	s.from = ln
	if ln.o.Plain {
		s.transport = plain{fd, &l.direct}
		s.begin(now, ln.o.Accept)
		return
	}
	l.evict(l.waiting.inTheWay(s.origin))
	s.waiting, s.allowance = true, unauthenticatedBytesMax
	l.waiting.add(s)
	s.until(now + int64(ln.o.HandshakeTimeout))
}

// addrPort is the address of a peer; IPv4 ones look alike on every listener.
func addrPort(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		addr := netip.AddrFrom16(a.Addr).Unmap()
		if a.ZoneId != 0 && addr.Is6() {
			addr = addr.WithZone(fmt.Sprint(a.ZoneId))
		}
		return netip.AddrPortFrom(addr, uint16(a.Port))
	}
	return netip.AddrPort{}
}
