package gateway

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/framing"
	"brokerd/internal/wire"
)

const (
	// feedSteady is how long a connection of a feed that dials has to last for the
	// next one to be made without a pause.
	feedSteady = time.Second
	// feedTellPause is how long a feed says no more about connections that it
	// refuses and records that it cannot send.
	feedTellPause = time.Second
)

// The states of a feed, beside those of a link.
const feedListening = "listening"

// directionIn is the direction of a feed whose frames become records; any other is
// out.
const directionIn = "in"

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
	begun    int64 // when the last connection was there; 0: none was

	in         *feedWriter // direction in, while there is a connection, or one is dialled
	out        *feedReader // direction out of one that dials, with a connection and without
	fromOldest bool        // the next reader starts there: it has had all of the ring before

	tellAt int64  // nothing is told before that
	untold uint64 // what was not

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
		return f, f.listen(want.Listen)
	}
	f.set(string(wire.LinkConnecting), "")
	g.loop.schedule(&f.timer, g.loop.now())
	return f, nil
}

func (f *feed) listen(address string) (err error) {
	if f.listener, err = f.g.loop.listen(listenOptions{Address: address, Plain: true, Accept: f.accept}); err != nil {
		return fmt.Errorf("feed %s: listen: %w", f.want.Name, err)
	}
	return nil
}

// accept takes a connection of a feed that listens.
func (f *feed) accept(s *socket) session {
	s.authenticated() // a feed does not say who it is
	if len(f.conns) >= f.want.ConnectionsMax {
		f.tell("feed: a connection was refused, there are connections_max already",
			zap.String("address", s.remote()), zap.Int("connections_max", f.want.ConnectionsMax))
		return nil
	}
	return f.begin(s)
}

// dial takes the feed's place in the ring and then connects: without a place there
// is nothing to connect for.
func (f *feed) dial() {
	if f.g.ending || f.stopDial != nil || len(f.conns) > 0 {
		return
	}
	if err := f.takePlace(); err != nil {
		f.retry(err)
		return
	}
	f.stopDial = func() {}
	f.stopDial = f.g.loop.dial(dialOptions{Address: f.want.Connect, Timeout: f.g.settings.HandshakeTimeout, Done: func(s *socket, err error) session {
		f.stopDial = nil
		if err != nil {
			f.dropWriter() // another may want to publish meanwhile
			f.retry(err)
			return nil
		}
		s.authenticated()
		return f.begin(s)
	}})
}

func (f *feed) takePlace() (err error) {
	switch {
	case f.want.Direction == directionIn && f.in == nil:
		f.in, err = f.newWriter()
	case f.want.Direction != directionIn && f.out == nil:
		f.out, err = f.newReader()
	}
	return err
}

// begin gives a connection its session, nil when the ring cannot be had.
func (f *feed) begin(s *socket) session {
	made, err := f.newSession(s)
	if err != nil {
		f.dropWriter()
		f.retry(err)
		if f.listener != nil && !f.g.ending {
			f.tell("feed: a connection was refused", zap.String("address", s.remote()), zap.NamedError("reason", err))
		}
		return nil
	}
	f.conns[s] = made
	if f.listener == nil {
		if f.begun != 0 {
			f.reconnects++
		}
		f.set(string(wire.LinkConnected), "")
	}
	f.begun = f.g.loop.now()
	f.log().Info("feed connected", zap.String("address", s.remote()))
	return made
}

func (f *feed) newSession(s *socket) (session, error) {
	if err := s.patient(); err != nil {
		return nil, err
	}
	if f.want.Direction == directionIn {
		return f.newInlet(s)
	}
	return f.newOutlet(s)
}

// over is the end of a connection. lost is how many frames had come and are not
// published.
func (f *feed) over(s *socket, cause error, lost int) {
	delete(f.conns, s)
	f.dropped += uint64(lost)
	if len(f.conns) == 0 {
		f.dropWriter()
	}
	if !f.g.ending || lost > 0 {
		f.log().Warn("feed disconnected", zap.String("address", s.remote()), zap.NamedError("reason", cause), zap.Int("frames_lost", lost))
	}
	if f.g.loop.now()-f.begun >= feedSteady.Nanoseconds() {
		f.pause = redialMin
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
	f.g.loop.schedule(&f.timer, f.g.loop.now()+redialPause(&f.pause))
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

// tell warns of what a stranger or a producer can repeat as fast as they like.
func (f *feed) tell(message string, fields ...zap.Field) {
	now := f.g.loop.now()
	if now < f.tellAt {
		f.untold++
		return
	}
	if f.untold > 0 {
		fields = append(fields, zap.Uint64("untold_before", f.untold))
	}
	f.tellAt, f.untold = now+feedTellPause.Nanoseconds(), 0
	f.log().Warn(message, fields...)
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
	f.dropWriter()
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
