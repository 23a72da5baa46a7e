package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

type dialOptions struct {
	Address    string // host:port; the host is looked up anew each time
	Certs      *certs // nil: without TLS
	ServerName string // what the peer's certificate must be for
	// Timeout bounds the look-up, and then all addresses together; 0 for the
	// default.
	Timeout time.Duration
	// Done is called once, with the lock held, never from within dial: with a
	// connection, and gives its session, nil for none; or with the reason why
	// there is none. After cancel it is not called any more.
	Done func(s *socket, err error) session
}

// dialing is one attempt to reach a peer: by all of its addresses, one after the
// other.
type dialing struct {
	l            *loop
	o            dialOptions
	stop         context.CancelFunc // of the look-up
	addresses    []netip.AddrPort   // not tried yet
	socket       *socket            // to the present one
	until        int64              // end of the attempt
	addressUntil int64              // end of the present address
	timer        timer
	failures     []error
	over         bool
}

// dial begins to connect. It, and cancel, are called with the lock held. When
// the loop has ended, nothing happens.
func (l *loop) dial(o dialOptions) (cancel func()) {
	if l.over {
		return func() {}
	}
	if o.Timeout == 0 {
		o.Timeout = dialTimeoutDefault
	}
	d := &dialing{l: l, o: o}
	d.timer.fire = d.expired
	l.dials = append(l.dials, d)
	ctx, stop := context.WithTimeout(l.background, o.Timeout)
	d.stop = stop
	l.workers.Go(func() {
		addresses, err := resolve(ctx, &l.resolver, o.Address)
		l.complete(func(now int64) { d.resolved(addresses, err, now) })
	})
	return func() { d.end(errStopped) }
}

func (d *dialing) resolved(addresses []netip.AddrPort, err error, now int64) {
	d.stop()
	if d.over {
		return
	}
	if err != nil {
		d.finish(nil, err)
		return
	}
	d.addresses, d.until = addresses, now+int64(d.o.Timeout)
	d.try(now)
}

// try goes on to the next address.
func (d *dialing) try(now int64) {
	for len(d.addresses) > 0 && now < d.until {
		address := d.addresses[0]
		share := max((d.until-now)/int64(len(d.addresses)), int64(dialAddressMin))
		d.addresses = d.addresses[1:]
		s, err := d.l.connect(address)
		if err != nil {
			d.failures = append(d.failures, fmt.Errorf("%s: %w", address, err))
			continue
		}
		s.dial, d.socket = d, s
		s.blocked = true // until the poller says whether it is connected
		d.addressUntil = min(d.until, now+share)
		d.l.schedule(&d.timer, d.addressUntil)
		return
	}
	if len(d.addresses) > 0 {
		d.failures = append(d.failures, fmt.Errorf("no time left for %d more addresses", len(d.addresses)))
	}
	d.finish(nil, joinedError(d.failures))
}

// connect begins to connect a socket to one address.
func (l *loop) connect(to netip.AddrPort) (*socket, error) {
	family, address := unix.AF_INET6, unix.Sockaddr(sockaddr6(to))
	if to.Addr().Is4() {
		family, address = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	err = setOptions(fd, l.o.DeadAfter)
	if err == nil {
		if err = unix.Connect(fd, address); errors.Is(err, unix.EINPROGRESS) || errors.Is(err, unix.EINTR) {
			err = nil
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect: %w", err), unix.Close(fd))
	}
	return l.adopt(fd, to, connecting)
}

func sockaddr6(to netip.AddrPort) *unix.SockaddrInet6 {
	address := &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	if zone := to.Addr().Zone(); zone != "" {
		if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
			address.ZoneId = uint32(n)
		} else if link, err := net.InterfaceByName(zone); err == nil {
			address.ZoneId = uint32(link.Index)
		}
	}
	return address
}

// connected looks whether the kernel has connected s by now.
func (d *dialing) connected(s *socket) {
	if s.blocked {
		return
	}
	code, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err == nil && s.toItself() {
		err = errors.New("nobody listens there: the kernel connected the socket to itself")
	}
	if err != nil {
		s.close(fmt.Errorf("connect: %w", err))
		return
	}
	if d.o.Certs == nil {
		s.transport = plain{s.fd, &d.l.direct}
		d.established(s, d.l.now())
		return
	}
	s.state = shaking
	s.transport = newClient(s, d.o.Certs, d.o.ServerName)
	d.l.outgoing.add(s)
}

// toItself: a connection to a free port of this host may meet itself there, when
// the kernel happens to choose that port for its near end.
func (s *socket) toItself() bool {
	near, err := unix.Getsockname(s.fd)
	return err == nil && addrPort(near) == s.peer
}

func (d *dialing) established(s *socket, now int64) {
	d.socket = nil // it is not ours to close any more
	s.begin(now, func(s *socket) session { return d.finish(s, nil) })
}

// failed is told by the socket that it is closed.
func (d *dialing) failed(cause error) {
	if d.over || d.socket == nil {
		return
	}
	d.failures = append(d.failures, fmt.Errorf("%s: %w", d.socket.remote(), cause))
	d.socket = nil
	d.try(d.l.now())
}

// expired is the end of the time for one address.
func (d *dialing) expired(int64) {
	if d.socket != nil {
		d.socket.close(fmt.Errorf("%w: no answer in time", errSlow))
	}
}

// finish ends the attempt and tells.
func (d *dialing) finish(s *socket, err error) session {
	if d.over {
		return nil
	}
	d.end(err)
	return d.o.Done(s, err)
}

// end ends the attempt.
func (d *dialing) end(cause error) {
	if d.over {
		return
	}
	d.over = true
	d.stop()
	d.l.timers.set(&d.timer, never)
	d.l.dials = slices.DeleteFunc(d.l.dials, func(o *dialing) bool { return o == d })
	if d.socket != nil {
		d.socket.close(cause)
	}
}
