package wire

// Lengths of the frames that open and end a stream, their strings empty.
const (
	linkOpenBytesMin   = LinkHeaderBytes + 32 + 2*linkTextBytes
	linkOpenedBytesMin = LinkHeaderBytes + 56 + 2*linkTextBytes
	linkEndBytesMin    = LinkHeaderBytes + 2 + 3*linkTextBytes
)

// Flags of an Opened frame: those of the ring are as in its memory.
const (
	linkFlagMany       = 1 << 0
	linkFlagTimestamps = 1 << 1
	linkFlagChecksum   = 1 << 2
	linkFlagResumed    = 1 << 16
	linkFlagsKnown     = linkFlagMany | linkFlagTimestamps | linkFlagChecksum | linkFlagResumed
)

// LinkOpenFrame asks the acceptor for a stream. Policy is a number as in the
// ring's memory, 0 for the ring's default; From one of LinkFrom.... Epoch is 0
// for whatever the ring has; Position and Sequence belong to LinkFromPosition
// and LinkFromHeld. Label names the reader or producer for people, and the
// cursor of LinkFromResume; "" for none.
type LinkOpenFrame struct {
	Stream                    uint16
	Mode                      LinkMode
	Policy, From              uint8
	Epoch, Position, Sequence uint64
	Ring, Label               string
}

// Append appends the frame to b.
func (f LinkOpenFrame) Append(b []byte) []byte {
	w := beginLink(b, LinkOpen, f.Stream).u8(uint8(f.Mode)).u8(f.Policy).u8(f.From).u8(0).u32(0)
	w.u64(f.Epoch).u64(f.Position).u64(f.Sequence)
	return w.name(f.Ring).name(f.Label).end(nil)
}

// DecodeLinkOpen reads a whole frame. The error wraps ErrLinkMalformed.
func DecodeLinkOpen(frame []byte) (f LinkOpenFrame, err error) {
	r := openLink(frame, LinkOpen)
	f.Stream = r.stream
	f.Mode = LinkMode(r.upTo(uint8(LinkProduce), "mode"))
	if f.Mode == 0 {
		r.refuse("open: no mode")
	}
	f.Policy = r.upTo(linkPolicyMax, "policy")
	f.From = r.upTo(LinkFromHeld, "from")
	r.zeros(5)
	f.Epoch, f.Position, f.Sequence = r.epoch(0), r.position("position"), r.u64("sequence")
	f.Ring = r.name("ring")
	f.Label = r.label("label")
	return f, r.end()
}

// LinkOpenedFrame grants a stream. It gives the ring's geometry, and where the
// stream starts; for LinkProduce the boundary up to which the acceptor has
// published the session's records. Policy is what the reader got, 0 for
// LinkProduce. Resumed: there was a cursor, or a session, to go on from. ID is
// the attachment, Ring the JSON of a Ring, to show to people; either may be "".
type LinkOpenedFrame struct {
	Stream                                   uint16
	Many, Timestamps, Checksum, Resumed      bool
	Policy                                   uint8
	RecordMax                                uint32 // bytes
	Capacity, Key, Epoch, Position, Sequence uint64
	ID, Ring                                 string
}

// Append appends the frame to b; a Ring over LinkRingBytesMax is left out.
func (f LinkOpenedFrame) Append(b []byte) []byte {
	var flags uint32
	for _, flag := range []struct {
		set bool
		bit uint32
	}{{f.Many, linkFlagMany}, {f.Timestamps, linkFlagTimestamps}, {f.Checksum, linkFlagChecksum}, {f.Resumed, linkFlagResumed}} {
		if flag.set {
			flags |= flag.bit
		}
	}
	w := beginLink(b, LinkOpened, f.Stream).u32(flags).u32(f.RecordMax).u8(f.Policy).u8(0).u16(0).u32(0)
	w.u64(f.Capacity).u64(f.Key).u64(f.Epoch).u64(f.Position).u64(f.Sequence)
	return w.text(f.ID, LinkIDBytesMax).object(f.Ring, LinkRingBytesMax).end(nil)
}

// DecodeLinkOpened reads a whole frame. That the geometry is one that a ring can
// have is for the caller to check. The error wraps ErrLinkMalformed.
func DecodeLinkOpened(frame []byte) (f LinkOpenedFrame, err error) {
	r := openLink(frame, LinkOpened)
	f.Stream = r.stream
	flags := r.u32("flags")
	if flags&^linkFlagsKnown != 0 {
		r.refuse("opened: flags %#x, known are %#x", flags, uint32(linkFlagsKnown))
	}
	f.Many, f.Timestamps = flags&linkFlagMany != 0, flags&linkFlagTimestamps != 0
	f.Checksum, f.Resumed = flags&linkFlagChecksum != 0, flags&linkFlagResumed != 0
	f.RecordMax = r.u32("record_max")
	f.Policy = r.upTo(linkPolicyMax, "policy")
	r.zeros(7)
	f.Capacity, f.Key = r.u64("capacity"), r.u64("key")
	f.Epoch, f.Position, f.Sequence = r.epoch(1), r.position("position"), r.u64("sequence")
	f.ID = r.text(LinkIDBytesMax, "id")
	f.Ring = r.object(LinkRingBytesMax, "ring")
	return f, r.end()
}

// LinkEndFrame refuses or ends a stream, by either side; the sender sends
// nothing more for it. Name and Parameters are those of an Error, with
// CodeRefused only; Parameters is a JSON object. Either may be "".
type LinkEndFrame struct {
	Stream                    uint16
	Code                      LinkCode
	Name, Message, Parameters string
}

// Append appends the frame to b; a message over LinkMessageBytesMax is cut off,
// Parameters over LinkParametersBytesMax are left out.
func (f LinkEndFrame) Append(b []byte) []byte {
	w := beginLink(b, LinkEnd, f.Stream).u16(uint16(f.Code))
	return w.text(f.Name, LinkErrorNameBytesMax).text(f.Message, LinkMessageBytesMax).object(f.Parameters, LinkParametersBytesMax).end(nil)
}

// DecodeLinkEnd reads a whole frame. The error wraps ErrLinkMalformed.
func DecodeLinkEnd(frame []byte) (f LinkEndFrame, err error) {
	r := openLink(frame, LinkEnd)
	f.Stream = r.stream
	f.Code = LinkCode(r.u16("code"))
	f.Name = r.text(LinkErrorNameBytesMax, "name")
	f.Message = r.text(LinkMessageBytesMax, "message")
	f.Parameters = r.object(LinkParametersBytesMax, "parameters")
	return f, r.end()
}
