package link

import (
	"hash/crc32"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// firstBytes of a chunk do not go into the ring before all of it was checked:
// they hold its first commit word.
const firstBytes = len(shmring.Chunk{}.First)

// directBytesMin: shorter rests of a body are not worth a system call.
const directBytesMin = 4096

// input puts frames together. Frames up to the length of head, those of a stream
// that flows among them, need no other memory; the body of a data frame goes to
// where the sink wants it.
type input struct {
	head  [wire.LinkDataHeaderBytes + firstBytes]byte
	have  int           // bytes of head
	need  int           // bytes of head that make the next step, 0 = those of a header
	kind  wire.LinkKind // once the header is there
	frame []byte        // a longer frame
	got   int           // bytes of frame

	// A data frame whose head is complete.
	data   wire.LinkDataFrame
	stream *stream
	body   []byte // the rest of the body, in the memory of the sink; nil: thrown away
	left   int    // bytes of the body that are still to come
	sum    uint32 // of everything so far
	blind  bool   // some of it could not be read again: sum is worth nothing

	bytes uint64 // received ever
}

// Input takes all of p, which came at time now.
func (c *Conn) Input(now int64, p []byte) error {
	c.hear(now, len(p))
	for len(p) > 0 && c.phase != phaseOver {
		n, err := c.take(now, p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return c.verdict()
}

// verdict is the failure that ended the connection, if one did.
func (c *Conn) verdict() error {
	if c.failed != nil {
		return c.failed
	}
	return nil
}

func (c *Conn) hear(now int64, n int) {
	c.in.bytes += uint64(n)
	c.beats.heard = now
}

// take makes one step with the start of p and returns how many bytes it took.
func (c *Conn) take(now int64, p []byte) (int, error) {
	in := &c.in
	switch {
	case in.left > 0:
		n := min(len(p), in.left)
		if in.body != nil {
			if err := shmring.Guarded(func() { copy(in.body, p[:n]) }); err != nil {
				c.lose(in.stream, err)
			}
		}
		in.sum = addSum(in.sum, p[:n])
		return n, c.advance(now, n)
	case in.frame != nil:
		n := copy(in.frame[in.got:], p)
		if in.got += n; in.got < len(in.frame) {
			return n, nil
		}
		frame := in.frame
		in.frame, in.got = nil, 0
		return n, c.control(now, frame)
	}
	if in.need == 0 {
		in.need = wire.LinkHeaderBytes
	}
	n := copy(in.head[in.have:in.need], p)
	if in.have += n; in.have < in.need {
		return n, nil
	}
	return n, c.headed(now)
}

// headed goes on when head holds all that was asked for.
func (c *Conn) headed(now int64) error {
	in := &c.in
	if in.need == wire.LinkHeaderBytes {
		h, err := wire.DecodeLinkHeader(in.head[:wire.LinkHeaderBytes])
		if err != nil {
			return c.fail(wire.CodeProtocol, "%v", err)
		}
		if err := c.expect(h.Kind); err != nil {
			return err
		}
		in.kind = h.Kind
		switch {
		case h.Kind == wire.LinkData:
			in.need = len(in.head)
		case int(h.Bytes) <= len(in.head):
			in.need = int(h.Bytes)
		default:
			in.frame = make([]byte, h.Bytes)
			in.got = copy(in.frame, in.head[:wire.LinkHeaderBytes])
			in.have, in.need = 0, 0
			return nil
		}
		if in.need > wire.LinkHeaderBytes {
			return nil
		}
	}
	have := in.have
	in.have, in.need = 0, 0
	if in.kind == wire.LinkData {
		return c.gotData(now)
	}
	return c.control(now, in.head[:have])
}

// expect says whether a frame of this kind may come now. It is asked with the
// header, before anything else of the frame is kept.
func (c *Conn) expect(kind wire.LinkKind) error {
	first := wire.LinkHello
	if c.c.Dialer {
		first = wire.LinkWelcome
	}
	switch {
	case kind == wire.LinkClose, c.phase == phaseReady:
		return nil
	case c.phase == phaseGreeting && kind == first:
		return nil
	case c.phase == phaseGreeting:
		return c.fail(wire.CodeProtocol, "the first frame is %s, want %s", kind, first)
	}
	return c.fail(wire.CodeProtocol, "%s before this side said welcome", kind)
}

// control is any whole frame but data.
func (c *Conn) control(now int64, frame []byte) error {
	if err := wire.CheckLinkFrame(frame); err != nil {
		return c.fail(wire.CodeChecksum, "%v", err)
	}
	var err error
	switch c.in.kind {
	case wire.LinkHello:
		err = c.gotHello(frame)
	case wire.LinkWelcome:
		err = c.gotWelcome(now, frame)
	case wire.LinkClose:
		err = c.gotClose(frame)
	case wire.LinkOpen:
		err = c.gotOpen(now, frame)
	case wire.LinkOpened:
		err = c.gotOpened(frame)
	case wire.LinkEnd:
		err = c.gotEnd(frame)
	case wire.LinkGap:
		err = c.gotGap(now, frame)
	case wire.LinkAck:
		err = c.gotAck(frame)
	default:
		err = c.gotBeat(now, frame)
	}
	if err == nil && c.out.controls > controlBytesMax {
		err = c.fail(wire.CodeProtocol, "%d bytes of answers wait to be read, the limit is %d", c.out.controls, controlBytesMax)
	}
	return err
}

// Direct is, inside the body of a data frame, the memory for the rest of it: what
// is received into its start is to be told to Landed, before any other call. It
// is nil where bytes are to go through Input.
func (c *Conn) Direct() []byte {
	if c.in.left < directBytesMin {
		return nil
	}
	return c.in.body
}

// Landed says that n bytes were received into what Direct gave.
func (c *Conn) Landed(now int64, n int) error {
	c.hear(now, n)
	in := &c.in
	if n > 0 && n <= len(in.body) {
		if err := shmring.Guarded(func() { in.sum = addSum(in.sum, in.body[:n]) }); err != nil {
			in.blind = true
			c.lose(in.stream, err)
		}
		if err := c.advance(now, n); err != nil {
			return err
		}
	}
	return c.verdict()
}

// advance goes on by n bytes of a body, which are in sum already.
func (c *Conn) advance(now int64, n int) error {
	in := &c.in
	if in.body != nil {
		in.body = in.body[n:]
	}
	if in.left -= n; in.left > 0 {
		return nil
	}
	return c.gotBody(now)
}

// addSum continues the checksum of a frame.
func addSum(sum uint32, p []byte) uint32 {
	return crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), p)
}
