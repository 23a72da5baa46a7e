package link

import (
	"time"

	"brokerd/internal/wire"
)

// Limits of one connection.
const (
	outputBytesDefault = 1 << 20   // ring bytes that wait to be sent
	frameBytesDefault  = 256 << 10 // ring bytes in a frame
	controlBytesMax    = 256 << 10 // other frames that wait to be sent, for a peer that does not read
	// opensPerSecondMax is how often a dialer may ask for streams: each costs its
	// acceptor much more than a frame.
	opensPerSecondMax = 4 * wire.LinkStreamsMax
)

// Config is one side of a connection.
type Config struct {
	Dialer      bool   // it dialled, and opens the streams; the acceptor answers
	Name, Agent string // who this is, as in wire.LinkHelloFrame
	// Session tells the streams that produce from those of others.
	Session [16]byte
	// DeadAfter is how long the peer may be silent; 0: for ever, and no beats.
	DeadAfter time.Duration
	// StreamsMax is how many streams an acceptor serves; 0: wire.LinkStreamsMax.
	StreamsMax int
	// OutputBytesMax is how many ring bytes may wait to be sent; 0: 1 MiB.
	OutputBytesMax int
	// FrameBytesMax is how many ring bytes go into a frame, but for a part that
	// is larger; 0: 256 KiB.
	FrameBytesMax int
}

// phase is how far a connection has come.
type phase uint8

const (
	phaseGreeting phase = iota // the first frame of the peer is due
	phaseAsked                 // an acceptor's owner has to say Welcome or Close
	phaseReady                 // streams may flow
	phaseOver                  // either side has closed
)

// Conn is one side of a connection. The methods that return an error other than
// for their arguments return an *Error: then the connection is over, a Close
// frame is in Output, and the socket is to be closed once that was sent.
type Conn struct {
	c      Config
	phase  phase
	failed *Error

	peer       peer
	in         input
	out        output
	beats      beats
	streams    []*stream // open ones and those whose end is not confirmed yet
	streamsMax int
	turn       int // who is pumped first
	opensSince int64
	opens      int            // since then, within a second
	last       []StreamStatus // when the connection was over
	events     []Event
}

// peer is what the other side said of itself.
type peer struct {
	name, agent string
}

// New begins a connection at time now. A dialer has its Hello in Output at once.
func New(c Config, now int64) *Conn {
	if c.StreamsMax <= 0 || c.StreamsMax > wire.LinkStreamsMax {
		c.StreamsMax = wire.LinkStreamsMax
	}
	if c.OutputBytesMax <= 0 {
		c.OutputBytesMax = outputBytesDefault
	}
	if c.FrameBytesMax <= 0 {
		c.FrameBytesMax = frameBytesDefault
	}
	conn := &Conn{c: c, streamsMax: c.StreamsMax}
	conn.beats.heard = now
	if c.Dialer {
		conn.hello()
	}
	return conn
}

// Close ends the connection: what was not begun to be sent is dropped but for a
// Close frame with code and message. The streams are gone without events.
func (c *Conn) Close(code wire.LinkCode, message string) {
	if c.phase == phaseOver {
		return
	}
	if c.over() {
		c.out.control(wire.LinkCloseFrame{Code: code, Message: message}.Append)
	}
}

// over leaves the streams, and of the output no more than the rest of a frame
// that was begun. false: not even that, and no frame can follow.
func (c *Conn) over() bool {
	last := c.Streams()
	c.phase = phaseOver
	c.in.body = nil
	c.last, c.streams = last, nil
	return c.out.keepBegun()
}

// EventKind tells what happened.
type EventKind uint8

// The kinds of events. Hello, to be answered by Welcome or Close, and Open, to be
// answered by Serve, Take or End, are for acceptors; Welcome and Opened, to be
// answered by Receive or Supply, are for dialers.
const (
	EventHello EventKind = 1 + iota
	EventWelcome
	EventOpen
	EventOpened
	EventEnd   // the peer ended or refused a stream (End), or its end here has failed (Err)
	EventGap   // records are lost to a receiver (Gap)
	EventClose // the peer has closed the connection (Close)
)

// Event is something that the owner of a Conn has to see. Of the frames the one
// that the kind names is set, for EventOpened also Open, as it was asked for.
type Event struct {
	Kind    EventKind
	Stream  uint16
	Hello   wire.LinkHelloFrame
	Welcome wire.LinkWelcomeFrame
	Open    wire.LinkOpenFrame
	Opened  wire.LinkOpenedFrame
	End     wire.LinkEndFrame
	Close   wire.LinkCloseFrame
	Gap     wire.LinkGapFrame
	Last    StreamStatus
	Err     error
}

// Next is the oldest event that was not taken yet. They are to be taken after
// each call that may bring some: Input, Landed, Pump, Tick.
func (c *Conn) Next() (Event, bool) {
	if len(c.events) == 0 {
		return Event{}, false
	}
	e := c.events[0]
	if c.events = c.events[1:]; len(c.events) == 0 {
		c.events = nil // idle connections keep nothing
	}
	return e, true
}

func (c *Conn) event(e Event) { c.events = append(c.events, e) }
