package wire

import "hash/crc32"

// Lengths of the frames that move a ring.
const (
	linkGapBytes = LinkHeaderBytes + 48
	linkAckBytes = LinkHeaderBytes + 24

	linkFlagMissed = 1 << 0 // of a gap
)

// LinkDataFrame is the head of a data frame: Bytes of ring bytes follow it, whole
// committed parts that lie side by side in the ring from Position on. Sequence
// is that of the first, Records what the sequence grows by.
type LinkDataFrame struct {
	Stream                             uint16
	Epoch, Position, Sequence, Records uint64
	Bytes                              uint32
}

// Append appends the LinkDataHeaderBytes of the frame to b. Its length and
// checksum are those of a frame that body follows; body is not copied, and
// f.Bytes is not looked at.
func (f LinkDataFrame) Append(b, body []byte) []byte {
	w := beginLink(b, LinkData, f.Stream)
	return w.u64(f.Epoch).u64(f.Position).u64(f.Sequence).u64(f.Records).end(body)
}

// continueSum adds body to a sum begun by sumLink.
func continueSum(sum uint32, body []byte) uint32 {
	return crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), body)
}

// DecodeLinkData reads the first LinkDataHeaderBytes of a frame. The error wraps
// ErrLinkMalformed.
func DecodeLinkData(header []byte) (f LinkDataFrame, err error) {
	r := openLink(header[:min(len(header), LinkDataHeaderBytes)], LinkData)
	f.Stream = r.stream
	f.Epoch, f.Position, f.Sequence, f.Records = r.epoch(1), r.position("position"), r.u64("sequence"), r.u64("records")
	if err := r.end(); err != nil {
		return f, err
	}
	h, err := DecodeLinkHeader(header)
	f.Bytes = h.Bytes - LinkDataHeaderBytes
	return f, err
}

// LinkGapFrame stands for what the ring does not hold any more: from Position to
// To, Lost records, Sequence the first of them. Missed tells that the reader was
// too slow, not that they were lost by a producer or on the way.
type LinkGapFrame struct {
	Stream                              uint16
	Missed                              bool
	Epoch, Position, Sequence, To, Lost uint64
}

// Append appends the frame to b.
func (f LinkGapFrame) Append(b []byte) []byte {
	var flags uint32
	if f.Missed {
		flags = linkFlagMissed
	}
	w := beginLink(b, LinkGap, f.Stream).u32(flags).u32(0)
	return w.u64(f.Epoch).u64(f.Position).u64(f.Sequence).u64(f.To).u64(f.Lost).end(nil)
}

// DecodeLinkGap reads a whole frame. The error wraps ErrLinkMalformed.
func DecodeLinkGap(frame []byte) (f LinkGapFrame, err error) {
	r := openLink(frame, LinkGap)
	f.Stream = r.stream
	flags := r.u32("flags")
	if flags&^linkFlagMissed != 0 {
		r.refuse("gap: flags %#x, known are %#x", flags, uint32(linkFlagMissed))
	}
	f.Missed = flags&linkFlagMissed != 0
	r.zeros(4)
	f.Epoch, f.Position, f.Sequence = r.epoch(1), r.position("position"), r.u64("sequence")
	f.To, f.Lost = r.position("to"), r.u64("lost")
	if r.err == nil && f.To <= f.Position {
		r.refuse("gap: from %d to %d, want an end behind the start", f.Position, f.To)
	}
	return f, r.end()
}

// LinkAckFrame is what the receiver of a stream says to its sender: everything
// before Position, the boundary with that Sequence, is acknowledged, and bytes
// may be sent up to Limit.
type LinkAckFrame struct {
	Stream                    uint16
	Position, Sequence, Limit uint64
}

// Append appends the frame to b.
func (f LinkAckFrame) Append(b []byte) []byte {
	return beginLink(b, LinkAck, f.Stream).u64(f.Position).u64(f.Sequence).u64(f.Limit).end(nil)
}

// DecodeLinkAck reads a whole frame. The error wraps ErrLinkMalformed.
func DecodeLinkAck(frame []byte) (f LinkAckFrame, err error) {
	r := openLink(frame, LinkAck)
	f.Stream = r.stream
	f.Position, f.Sequence, f.Limit = r.position("position"), r.u64("sequence"), r.position("limit")
	if r.err == nil && f.Limit < f.Position {
		r.refuse("ack: limit %d below position %d", f.Limit, f.Position)
	}
	return f, r.end()
}
