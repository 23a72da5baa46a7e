package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	protocol "brokerd/internal/link"
	"brokerd/internal/wire"
)

const (
	// remoteDialTimeMax is how long one try may take: connecting, TLS, and the
	// other side's welcome.
	remoteDialTimeMax = 5 * time.Second
	// Delays between tries: the first, and the longest that doubling leads to.
	remoteRedialMin = 50 * time.Millisecond
	remoteRedialMax = 5 * time.Second
	// remoteAgent is what gateways show of this program.
	remoteAgent = "brokerd client"
	// keepAliveProbes unanswered within DeadAfter end an idle connection.
	keepAliveProbes = 3
)

// errFiles says that the files of TCPOptions are no good.
var errFiles = errors.New("TLS")

// jittered is d, give or take a fifth, so that many clients do not come at once.
func jittered(d time.Duration) time.Duration {
	return d*4/5 + rand.N(d*2/5)
}

// dialFor dials until it succeeds or is refused, but no longer than wait and ctx
// allow. The error is what the last try met that ctx did not cut short.
func (r *Remote) dialFor(ctx context.Context, wait time.Duration) (*line, error) {
	begin := time.Now()
	var missing error
	for delay := remoteRedialMin; ; delay = min(2*delay, remoteRedialMax) {
		l, err := r.dial(ctx)
		if err == nil {
			return l, nil
		}
		cut := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
		if missing == nil || !cut {
			missing = err
		}
		left := wait - time.Since(begin)
		switch {
		case IsRefused(err) || errors.Is(err, ErrProtocol) || errors.Is(err, errFiles):
			return nil, err
		case ctx.Err() != nil || left > 0 && !sleep(ctx, min(jittered(delay), left)):
			return nil, overdue(ctx, begin, missing)
		case wait <= 0:
			return nil, missing
		case left <= 0:
			return nil, &waitedError{wait: wait, is: []error{missing}}
		}
	}
}

// dial makes one connection that is ready for streams.
func (r *Remote) dial(ctx context.Context) (*line, error) {
	ctx, cancel := context.WithTimeout(ctx, remoteDialTimeMax)
	defer cancel()
	var settings *tls.Config
	if !r.o.Plain {
		var err error
		if settings, err = r.o.tls(); err != nil {
			return nil, fmt.Errorf("%w: %w", errFiles, err)
		}
	}
	conn, err := r.dialTCP(ctx)
	if err != nil {
		return nil, unreachable(r.o.Address, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // it ends reads and writes
	l := &line{
		conn: conn, streams: map[uint16]*stream{}, now: r.now,
		link: protocol.New(protocol.Config{
			Dialer: true, Name: r.o.as(settings), Agent: remoteAgent, Session: r.session, StreamsMax: wire.LinkStreamsMax,
		}, r.now()),
	}
	if settings != nil {
		l.secure(settings)
	}
	err = l.greet(ctx)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err == nil {
		return l, nil
	}
	_ = conn.Close() // what went wrong is known already
	if ctx.Err() != nil && !IsRefused(err) && !errors.Is(err, ErrProtocol) {
		err = fmt.Errorf("%w: %w", err, ctx.Err())
	}
	return nil, r.dialError(err)
}

func (r *Remote) dialTCP(ctx context.Context) (net.Conn, error) {
	each := r.o.DeadAfter / keepAliveProbes
	d := net.Dialer{
		Control: userTimeout(r.o.DeadAfter),
		// The kernel counts in seconds.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: max(each, time.Second), Interval: max(each, time.Second), Count: keepAliveProbes},
	}
	return d.DialContext(ctx, "tcp", r.o.Address)
}

// dialError puts what a try met into words.
func (r *Remote) dialError(err error) error {
	var noTLS tls.RecordHeaderError
	var untrusted *tls.CertificateVerificationError
	var alert *net.OpError
	switch {
	case IsRefused(err):
		return err
	case errors.Is(err, ErrProtocol):
		return fmt.Errorf("%s: %w", r.o.Address, err)
	case errors.As(err, &untrusted):
		err = fmt.Errorf("its certificate is not to be trusted: %w", untrusted.Err)
	case errors.As(err, &noTLS):
		return fmt.Errorf("%s: %w: what answers does not speak TLS: is it a gateway, and has it tls: off?", r.o.Address, ErrProtocol)
	case errors.As(err, &alert) && alert.Op == "remote error": // as crypto/tls calls an alert of the other side
		return wire.AccessDenied("gateway.tls", "%s does not take this certificate (%v): its authority has to be the gateway's, and it has to be valid now", r.o.Address, alert.Err)
	}
	return unreachable(r.o.Address, err)
}
