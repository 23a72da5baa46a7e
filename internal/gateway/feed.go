package gateway

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/broker"
	"brokerd/internal/framing"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// feedRetryMin and feedRetryMax are between two looks at a ring that takes
// nothing now, while its connection is not read.
const (
	feedRetryMin = time.Millisecond
	feedRetryMax = 8 * time.Millisecond
)

// The states of a feed, beside those of a link.
const feedListening = "listening"

// errIdle: nothing moved for the feed's idle_timeout.
var errIdle = errors.New("idle for too long")

// feed is an entry of feeds: a raw TCP stream, dialled or listened for, each frame
// of which is a record. It is guarded by the gateway's lock.
type feed struct {
	g     *Gateway
	want  Feed
	conns map[*socket]session

	listener *listener // of one that listens
	stopDial func()    // of the attempt that goes on
	timer    timer     // of the next one
	pause    time.Duration
	known    bool // there was a connection

	in  *feedWriter // direction in, while there is a connection
	out *feedReader // direction out of one that dials: it stays when the connection goes

	state, reason string
	since         time.Time

	frames, bytes, bad, reconnects, dropped uint64
}

// newFeed begins a feed. The error is that of its listener.
func (g *Gateway) newFeed(want Feed) (*feed, error) {
	f := &feed{g: g, want: want, conns: map[*socket]session{}, pause: redialMin, since: time.Now()}
	f.timer.fire = func(int64) { f.dial() }
	if want.Listen != "" {
		f.set(feedListening, "")
		return f, f.listen()
	}
	f.set(string(wire.LinkConnecting), "")
	g.loop.schedule(&f.timer, g.loop.now())
	return f, nil
}

func (f *feed) listen() (err error) {
	if f.listener, err = f.g.loop.listen(listenOptions{Address: f.want.Listen, Plain: true, Accept: f.accept}); err != nil {
		return fmt.Errorf("feed %s: listen: %w", f.want.Name, err)
	}
	return nil
}

// accept takes a connection of a feed that listens.
func (f *feed) accept(s *socket) session {
	s.authenticated() // a feed does not say who it is
	if len(f.conns) >= f.want.ConnectionsMax {
		f.log().Warn("feed: a connection was refused, there are connections_max already",
			zap.String("address", s.remote()), zap.Int("connections_max", f.want.ConnectionsMax))
		return nil
	}
	return f.begin(s)
}

func (f *feed) dial() {
	if f.g.ending || f.stopDial != nil || len(f.conns) > 0 {
		return
	}
	f.stopDial = func() {}
	f.stopDial = f.g.loop.dial(dialOptions{Address: f.want.Connect, Timeout: f.g.settings.HandshakeTimeout, Done: func(s *socket, err error) session {
		f.stopDial = nil
		if err != nil {
			f.retry(err)
			return nil
		}
		s.authenticated()
		return f.begin(s)
	}})
}

// begin gives a connection its session, nil when the ring cannot be had.
func (f *feed) begin(s *socket) session {
	var made session
	var err error
	if f.want.Direction == "in" {
		made, err = f.newInlet(s)
	} else {
		made, err = f.newOutlet(s)
	}
	if err != nil {
		f.retry(err)
		return nil
	}
	f.conns[s] = made
	f.pause = redialMin
	if f.known {
		f.reconnects++
	}
	f.known = true
	if f.listener == nil {
		f.set(string(wire.LinkConnected), "")
	}
	f.log().Info("feed connected", zap.String("address", s.remote()))
	return made
}

// over is the end of a connection.
func (f *feed) over(s *socket, cause error) {
	if _, ours := f.conns[s]; !ours {
		return
	}
	delete(f.conns, s)
	if len(f.conns) == 0 && f.in != nil {
		f.in.close()
		f.in = nil
	}
	if !f.g.ending {
		f.log().Warn("feed disconnected", zap.String("address", s.remote()), zap.NamedError("reason", cause))
	}
	f.retry(cause)
}

// retry notes why there is no connection, and has a feed that dials try again.
func (f *feed) retry(cause error) {
	if f.listener != nil {
		f.set(feedListening, cause.Error())
		return
	}
	f.set(string(wire.LinkWaiting), cause.Error())
	if f.g.ending {
		return
	}
	jitter := 1 + redialJitter*(2*rand.Float64()-1)
	f.g.loop.schedule(&f.timer, f.g.loop.now()+int64(float64(f.pause)*jitter))
	f.pause = min(2*f.pause, redialMax)
}

// set notes how the feed is, and logs it once.
func (f *feed) set(state, reason string) {
	if f.state == state && f.reason == reason {
		return
	}
	if f.state != state {
		f.since = time.Now()
	}
	f.state, f.reason = state, reason
	if state == string(wire.LinkWaiting) && !f.g.ending {
		f.log().Warn("feed: no connection; it is tried for ever", zap.String("reason", reason))
	}
}

func (f *feed) log() *zap.Logger {
	return f.g.log.With(zap.String("feed", f.want.Name), zap.String("ring", f.want.Ring))
}

// drop ends the feed: it has left the configuration, or the gateway ends.
func (f *feed) drop(why error) {
	if f.stopDial != nil {
		f.stopDial()
		f.stopDial = nil
	}
	if f.listener != nil {
		f.listener.close()
	}
	for s := range f.conns {
		s.close(why)
	}
	f.g.loop.schedule(&f.timer, never) // closing has set it
	if f.out != nil {
		f.out.close()
		f.out = nil
	}
}

// poll looks for news of the feed's ring; with busy_poll nobody else does.
func (f *feed) poll() {
	for _, made := range f.conns {
		if o, ok := made.(*outlet); ok {
			o.pump()
		}
	}
}

// status is the feed for those who look at it.
func (f *feed) status() wire.FeedStatus {
	address := f.want.Connect
	if f.listener != nil {
		address = f.listener.addr()
	}
	return wire.FeedStatus{
		Name: f.want.Name, Ring: f.want.Ring, Direction: f.want.Direction, Framing: f.want.Framing, Address: address,
		State: f.state, Reason: f.reason, SinceNS: f.since.UnixNano(), Connections: len(f.conns),
		Frames: f.frames, Bytes: f.bytes, BadFrames: f.bad, Reconnects: f.reconnects, Dropped: f.dropped,
	}
}

// attach takes a slot of the feed's ring, held by this process.
func (f *feed) attach(role wire.Role) (broker.Lease, error) {
	in := wire.AttachIn{Ring: f.want.Ring, Role: role, Name: f.attachmentName()}
	if role == wire.RoleConsumer {
		in.WaitStrategy, in.NoMembarrier = wire.WaitPark, !shmring.HasMembarrier()
	}
	return f.g.broker.Attach(broker.AttachRequest{
		Conn: broker.GatewayConn, Process: f.g.self, UID: uint32(os.Geteuid()), In: in, Authorize: func(wire.Ring) error { return nil },
	})
}

func (f *feed) attachmentName() string {
	name := "feed." + f.want.Name
	return name[:min(len(name), wire.NameBytesMax)]
}

// detach gives an attachment back.
func (f *feed) detach(ring wire.Ring, id string) {
	if ring.ResumeForNS > 0 {
		f.g.tolerate(id, f.g.broker.Evict(id, "the feed is over")) // leaves no cursor that would hold the ring
	}
	f.g.tolerate(id, f.g.broker.Detach(id, func(wire.Attachment, uint64) error { return nil }))
}

// unusable counts a stream that broke its framing, and logs where.
func (f *feed) unusable(s *socket, err error) error {
	var bad *framing.Error
	if errors.As(err, &bad) {
		f.bad++
		f.log().Error("feed: a bad frame ends the connection", zap.String("address", s.remote()), zap.Uint64("offset", bad.Offset),
			zap.String("why", bad.Reason), zap.String("hex", fmt.Sprintf("% x", bad.Excerpt)))
	}
	return err
}
