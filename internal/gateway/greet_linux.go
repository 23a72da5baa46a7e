package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Of a TLS record: what begins a handshake, and the length of its header.
const (
	tlsHandshakeType = 0x16
	tlsMajorVersion  = 3
	tlsHeaderBytes   = 5
)

// greet looks at what an accepted connection has sent first. For one that is to
// speak TLS nothing is allocated, and no byte taken from the kernel, before the
// whole first record is there.
func (s *socket) greet(now int64) {
	want := 1
	if s.from.o.Certs != nil {
		want = unauthenticatedBytesMax
	}
	n, _, err := unix.Recvfrom(s.fd, s.l.buffer[:want], unix.MSG_PEEK)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case err != nil:
		s.close(broken("receive", err))
		return
	case n <= 0:
		s.close(errEnded)
		return
	}
	if s.from.o.Certs == nil {
		s.transport = plain{s.fd, &s.l.direct}
		s.begin(now, s.from.o.Accept)
		return
	}
	switch whole, err := firstRecord(s.l.buffer[:n]); {
	case err != nil:
		s.refusePlain(err)
	case whole:
		s.state = shaking
		s.transport = newServer(s)
		s.l.incoming.add(s)
	case s.hung:
		s.close(errEnded) // the rest will never come
	}
}

// firstRecord says whether p holds the whole first record of a TLS client, or
// why it cannot be one. The error wraps errNotTLS.
func firstRecord(p []byte) (whole bool, err error) {
	if p[0] != tlsHandshakeType || len(p) > 1 && p[1] != tlsMajorVersion {
		return false, fmt.Errorf("%w: the peer began with %q; it has to use TLS, or this side has to set tls: off", errNotTLS, p[:min(len(p), 8)])
	}
	if len(p) < tlsHeaderBytes {
		return false, nil
	}
	length := tlsHeaderBytes + int(binary.BigEndian.Uint16(p[3:]))
	if length > unauthenticatedBytesMax {
		return false, fmt.Errorf("%w: the peer began with a record of %d bytes, at most %d are taken", errNotTLS, length, unauthenticatedBytesMax)
	}
	return len(p) >= length, nil
}

// refusePlain tells a peer that does not speak TLS in words that it understands.
func (s *socket) refusePlain(cause error) {
	if len(s.from.o.PlainReply) > 0 {
		_, err := unix.Write(s.fd, s.from.o.PlainReply)
		s.spoken = err == nil
	}
	s.close(cause)
}
