package control

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"brokerd/internal/broker"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
)

// Options configure a Server.
type Options struct {
	Broker         *broker.Broker
	Log            *zap.Logger
	OwnerUID       uint32 // the daemon's user
	AdminGID       int    // members are administrators; -1 for no group
	ConnectionsMax int    // open at a time
	// ConnectionsPerUIDMax is how many of them one user may have open, root and
	// the daemon's user excepted; 0 for no quota.
	ConnectionsPerUIDMax int
	Version              string

	// State tells how far the daemon has come: starting, ready or draining.
	State func() string
	// Reload reads the configuration again. What it returns goes to an
	// administrator: a *wire.Error as it is, anything else as a failure.
	Reload func(context.Context) (wire.ReloadOut, error)
	// Config tells which file the configuration came from, "" for none, and when
	// it was last reloaded, in ns since 1970 (UTC), 0 for never. May be nil.
	Config func() (file string, reloadedNS int64)
	// Links tells what the gateway does. nil: there is none.
	Links func() wire.ListLinksOut
	// Problems tells what an operator should look at besides what the broker knows,
	// a sentence each. May be nil.
	Problems func() []string
	// Observe is told of every call: the method without its interface
	// ("unknown" for what is none) and "ok" or the error without its interface.
	// May be nil.
	Observe func(method, result string)
	// Beat is called at least once a second while Serve accepts connections and
	// its locks are free. May be nil.
	Beat func()
}

// Server answers the calls that arrive over the control socket.
type Server struct {
	o       Options
	access  *access
	seats   *seats
	started time.Time
	waits   patience
	// quiet is the log for what clients provoke: of equal lines it lets the
	// first few a minute through, so that nobody can fill a disk.
	quiet *zap.Logger
	// admitting is when the accept loop began with the connection in its
	// hands, in Unix nanoseconds; 0 while it waits for one.
	admitting atomic.Int64
	// lending is read-locked from the broker's consent to an attachment until
	// its seat knows of it; Reauthorize locks it to see them all.
	lending  sync.RWMutex
	refusals *tally
	spare    spare
}

// New makes a Server. It opens nothing.
func New(o Options) *Server {
	if o.Observe == nil {
		o.Observe = func(string, string) {}
	}
	if o.Config == nil {
		o.Config = func() (string, int64) { return "", 0 }
	}
	if o.Links == nil {
		o.Links = func() wire.ListLinksOut { return wire.ListLinksOut{} }
	}
	if o.Problems == nil {
		o.Problems = func() []string { return nil }
	}
	if o.Beat == nil {
		o.Beat = func() {}
	}
	return &Server{
		o:        o,
		access:   newAccess(o.OwnerUID, o.AdminGID, newNames(o.Log)),
		seats:    newSeats(o.ConnectionsMax, o.ConnectionsPerUIDMax),
		started:  time.Now(),
		waits:    newPatience(),
		refusals: newTally(),
		quiet: o.Log.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(c, quietEvery, quietLinesMax, 0)
		})),
	}
}

// Connections tells how many connections are open.
func (s *Server) Connections() int { return s.seats.count() }

// ConnectionsByUID is how many of them each user has.
func (s *Server) ConnectionsByUID() map[uint32]int { return s.seats.countByUID() }

// Serve answers calls until ctx ends, and closes the listener then. Calls under
// way are still answered, for at most drainMax; attachments stay with the
// broker, for the next daemon to adopt. It returns nil then, and the error of
// the listener when that was closed by somebody else. Call it once.
func (s *Server) Serve(ctx context.Context, ln *unixconn.Listener) error {
	var beat, sessions sync.WaitGroup
	beating, stop := context.WithCancel(ctx)
	beat.Go(func() { s.beat(beating) })
	unlistened := make(chan struct{})
	unlisten := context.AfterFunc(ctx, func() {
		defer close(unlistened)
		_ = ln.Close() // Accept sees it
	})

	err := s.accept(ctx, ln, &sessions)

	stop()
	if unlisten() {
		err = errors.Join(err, ln.Close())
	} else {
		<-unlistened // Accept has seen it before the socket's path is gone
	}
	s.seats.drain()
	cut := time.AfterFunc(s.waits.drain, s.seats.closeAll)
	sessions.Wait()
	cut.Stop()
	beat.Wait()
	return err
}

// accept returns when the listener is closed: nil when ctx was the reason.
func (s *Server) accept(ctx context.Context, ln *unixconn.Listener, sessions *sync.WaitGroup) error {
	defer s.spare.release()
	for {
		s.spare.hold()
		conn, err := ln.Accept()
		s.admitting.Store(time.Now().UnixNano())
		switch {
		case err == nil:
			s.admit(ctx, conn, sessions)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			s.noneLeft(ln, err)
			pause(ctx, acceptRetryMin)
		}
		s.admitting.Store(0)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// admit starts the session of a new connection, or refuses and closes it.
func (s *Server) admit(ctx context.Context, conn *unixconn.Conn, sessions *sync.WaitGroup) {
	peer, err := conn.Peer()
	if err != nil {
		// As a rule for want of a descriptor for the process: see noneLeft.
		gone := s.seats.makeRoom()
		s.quiet.Warn("connection closed: the kernel does not say who it is", zap.Error(err), zap.Bool("closed_a_silent_one", gone))
		if broker.NoOpenFiles(err) {
			s.turnAway(conn)
		}
		_ = conn.Close() // a second close does nothing
		return
	}
	who := subjectOf(peer)
	seat, refusal := s.seats.take(who, s.access.trusted(who), func() { _ = conn.Close() }) // a second close does nothing
	if refusal != nil {
		s.refuse(conn, refusal, zap.Int("pid", who.pid), zap.Uint32("uid", who.uid))
		return
	}
	t := newSession(s, seat, conn, peer)
	sessions.Go(func() { t.run(ctx) })
}

// refuse answers a connection for which there is no seat, and closes it. The reply
// is short and the first on this socket, so the kernel takes it without waiting.
func (s *Server) refuse(conn *unixconn.Conn, refusal *wire.Error, who ...zap.Field) {
	s.refusals.add(refusal)
	s.quiet.Warn("connection refused", append(who, zap.Error(refusal))...)
	if err := send(conn, refusal.Reply(), nil, s.waits.replyWrite); err != nil {
		s.quiet.Debug("refusal not delivered", zap.Error(err))
	}
	_ = conn.Close()
}

// beat reports twice a second that connections are still being taken: the
// accept loop waits for one, or has not had the last one in its hands for
// long, and the list of connections is not locked.
func (s *Server) beat(ctx context.Context) {
	tick := time.NewTicker(beatMax)
	defer tick.Stop()
	for {
		since := s.admitting.Load()
		if since == 0 || time.Since(time.Unix(0, since)) < admitMax {
			s.seats.count() // waits for the lock
			s.o.Beat()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
