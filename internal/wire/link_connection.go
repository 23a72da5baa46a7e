package wire

// linkMagic is the text "BRKDLINK".
const linkMagic = 0x4B4E494C444B5242

// Lengths of the frames of a connection, their strings empty.
const (
	linkHelloBytesMin   = LinkHeaderBytes + 32 + 2*linkTextBytes
	linkWelcomeBytesMin = LinkHeaderBytes + 8 + 2*linkTextBytes
	linkCloseBytesMin   = LinkHeaderBytes + 2 + linkTextBytes
	linkBeatBytesMin    = LinkHeaderBytes + 24
	linkSentBytes       = 24
)

// LinkHelloFrame is the first frame of the one who dialled. DeadAfterMS is how
// long (milliseconds) it bears silence: LinkDeadAfterMSMin to
// LinkDeadAfterMSMax, or 0 for a client that neither sends nor wants beats.
// Session tells its streams that produce from those of others; drawn at random
// when the dialer starts, all zeros for one that will not produce. Name is a
// name as rings have, Agent is for people.
type LinkHelloFrame struct {
	VersionMin, VersionMax uint16
	DeadAfterMS            uint32
	Session                [16]byte
	Name, Agent            string
}

// Append appends the frame to b.
func (f LinkHelloFrame) Append(b []byte) []byte {
	w := beginLink(b, LinkHello, 0)
	w.u64(linkMagic).u16(f.VersionMin).u16(f.VersionMax).u32(f.DeadAfterMS)
	w.b = append(w.b, f.Session[:]...)
	return w.name(f.Name).text(f.Agent, LinkAgentBytesMax).end(nil)
}

// DecodeLinkHello reads a whole frame. A peer that speaks versions after
// LinkVersion, too, may append what these add: it is skipped. The error wraps
// ErrLinkMalformed.
func DecodeLinkHello(frame []byte) (f LinkHelloFrame, err error) {
	r := openLink(frame, LinkHello)
	if magic := r.u64("magic"); magic != linkMagic {
		r.refuse("hello does not begin with BRKDLINK: the peer speaks another protocol")
	}
	f.VersionMin, f.VersionMax = r.u16("version_min"), r.u16("version_max")
	if f.VersionMin == 0 || f.VersionMin > f.VersionMax {
		r.refuse("hello: versions %d to %d, want 1 or more, the least first", f.VersionMin, f.VersionMax)
	}
	f.DeadAfterMS = r.deadAfter()
	copy(f.Session[:], r.take(len(f.Session), "session"))
	f.Name = r.name("name")
	f.Agent = r.text(LinkAgentBytesMax, "agent")
	if r.err == nil && f.VersionMax > LinkVersion {
		r.b = nil
	}
	return f, r.end()
}

func (r *linkReader) deadAfter() uint32 {
	v := r.u32("dead_after_ms")
	if v != 0 && (v < LinkDeadAfterMSMin || v > LinkDeadAfterMSMax) {
		r.refuse("%s: dead_after_ms %d, want 0 or %d to %d", r.kind, v, LinkDeadAfterMSMin, LinkDeadAfterMSMax)
	}
	return v
}

// LinkWelcomeFrame answers Hello. Version is the one that is spoken from here
// on, StreamsMax how many streams may be open at a time (1 to LinkStreamsMax),
// DeadAfterMS how long (milliseconds) the sender bears silence.
type LinkWelcomeFrame struct {
	Version, StreamsMax uint16
	DeadAfterMS         uint32
	Name, Agent         string
}

// Append appends the frame to b.
func (f LinkWelcomeFrame) Append(b []byte) []byte {
	w := beginLink(b, LinkWelcome, 0).u16(f.Version).u16(f.StreamsMax).u32(f.DeadAfterMS)
	return w.name(f.Name).text(f.Agent, LinkAgentBytesMax).end(nil)
}

// DecodeLinkWelcome reads a whole frame. The error wraps ErrLinkMalformed.
func DecodeLinkWelcome(frame []byte) (f LinkWelcomeFrame, err error) {
	r := openLink(frame, LinkWelcome)
	f.Version, f.StreamsMax = r.u16("version"), r.u16("streams_max")
	if f.Version == 0 || f.StreamsMax == 0 || f.StreamsMax > LinkStreamsMax {
		r.refuse("welcome: version %d and streams_max %d, want 1 or more, and 1 to %d", f.Version, f.StreamsMax, LinkStreamsMax)
	}
	f.DeadAfterMS = r.deadAfter()
	f.Name = r.name("name")
	f.Agent = r.text(LinkAgentBytesMax, "agent")
	return f, r.end()
}

// LinkCloseFrame is the last frame of its sender. Its form is the same in every
// version.
type LinkCloseFrame struct {
	Code    LinkCode
	Message string
}

// Append appends the frame to b; a message over LinkMessageBytesMax is cut off.
func (f LinkCloseFrame) Append(b []byte) []byte {
	return beginLink(b, LinkClose, 0).u16(uint16(f.Code)).text(f.Message, LinkMessageBytesMax).end(nil)
}

// DecodeLinkClose reads a whole frame. The error wraps ErrLinkMalformed.
func DecodeLinkClose(frame []byte) (f LinkCloseFrame, err error) {
	r := openLink(frame, LinkClose)
	f.Code = LinkCode(r.u16("code"))
	f.Message = r.text(LinkMessageBytesMax, "message")
	return f, r.end()
}

// LinkSent is how far the ring goes that the sender of a Beat sends on a stream:
// the boundary behind its newest record, at or behind what it has sent.
type LinkSent struct {
	Stream             uint16
	Position, Sequence uint64
}

// LinkBeatFrame shows that the sender lives. Time is its clock, Echo the Time of
// the last Beat it got (0: none yet), EchoDelay how long ago that came; all in
// nanoseconds, each clock with an origin of its own. Sent has an entry for each
// stream whose ring bytes it sends, at most LinkStreamsMax.
type LinkBeatFrame struct {
	Time, Echo, EchoDelay uint64
	Sent                  []LinkSent
}

// Append appends the frame to b; entries over LinkStreamsMax are left out.
func (f LinkBeatFrame) Append(b []byte) []byte {
	w := beginLink(b, LinkBeat, 0).u64(f.Time).u64(f.Echo).u64(f.EchoDelay)
	for _, s := range f.Sent[:min(len(f.Sent), LinkStreamsMax)] {
		w.u16(s.Stream).u16(0).u32(0).u64(s.Position).u64(s.Sequence)
	}
	return w.end(nil)
}

// DecodeLinkBeat reads a whole frame. The error wraps ErrLinkMalformed.
func DecodeLinkBeat(frame []byte) (f LinkBeatFrame, err error) {
	r := openLink(frame, LinkBeat)
	f.Time, f.Echo, f.EchoDelay = r.u64("time"), r.u64("echo"), r.u64("echo_delay")
	for len(r.b) > 0 {
		s := LinkSent{Stream: r.u16("sent")}
		if s.Stream == 0 {
			r.refuse("beat: sent of stream 0, which is the connection")
		}
		r.zeros(6)
		s.Position, s.Sequence = r.position("sent position"), r.u64("sent sequence")
		f.Sent = append(f.Sent, s)
	}
	return f, r.end()
}
