package link

import (
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// Limits of the output's memory.
const (
	outputSlicesMax = 64       // of one Output
	blockBytesMin   = 512      // kept while there is nothing to send
	blockBytesMax   = 64 << 10 // but for a copy that is larger
	frameRoomBytes  = 128      // room that most frames but data find enough
)

// output is what is to be sent, in order. Frames are encoded into blocks, which
// are not touched again before all in them was sent; the ring bytes of a reader
// that holds producers stay in the ring.
type output struct {
	queue    []outFrame
	block    []byte
	done     int // bytes of the first frame that were sent
	bytes    int // in the queue
	controls int // of those, bytes of frames other than data and gap
	beats    int // beats in the queue
	list     [][]byte
	sent     uint64 // ever

	few       [2]outFrame // queue and list while they are short: a record that
	fewSlices [4][]byte   // follows another after a while allocates nothing
}

// outKind is what the output has to know of a frame.
type outKind uint8

const (
	outControl outKind = iota
	outBeat
	outData
	outGap
)

// outFrame is a frame that waits to be sent.
type outFrame struct {
	kind outKind
	head []byte // in a block: all of the frame, or what precedes body
	body []byte // where it lies in the ring, nil when it is in head

	ring bool // body lies in the ring, and its reader holds producers

	// A data or gap frame: whose, and the boundaries before and behind it.
	stream   *stream // nil for others, and when it is over with the streams
	from, to shmring.Boundary
}

func (f *outFrame) size() int { return len(f.head) + len(f.body) }

// control queues a frame that is neither data nor gap.
func (o *output) control(encode func([]byte) []byte) {
	o.push(outFrame{kind: outControl, head: o.encode(frameRoomBytes, encode)})
}

func (o *output) push(f outFrame) {
	o.queue = append(o.queue, f)
	o.count(&f, 1)
}

// count adds a frame to the sums over the queue, or takes it off.
func (o *output) count(f *outFrame, sign int) {
	o.bytes += sign * f.size()
	if f.kind == outBeat {
		o.beats += sign
	}
	if f.kind <= outBeat {
		o.controls += sign * f.size()
	}
}

// encode appends a frame, of about room bytes, to a block. One that outgrows its
// block moves to a new one, and leaves to the old one what is there.
func (o *output) encode(room int, encode func([]byte) []byte) []byte {
	if cap(o.block)-len(o.block) < room {
		size := max(blockBytesMin, min(2*cap(o.block), blockBytesMax), room)
		o.block = make([]byte, 0, size)
	}
	start := len(o.block)
	o.block = encode(o.block)
	return o.block[start:]
}

// slices is the start of the queue. Frames that lie side by side in a block make
// one slice.
func (o *output) slices() [][]byte {
	if o.list == nil {
		o.list = o.fewSlices[:]
	}
	o.list = o.list[:0]
	skip := o.done
	for i := range o.queue {
		f := &o.queue[i]
		for _, p := range [2][]byte{f.head, f.body} {
			n := min(skip, len(p))
			skip -= n
			if p = p[n:]; len(p) == 0 {
				continue
			}
			if last := len(o.list) - 1; last >= 0 && adjacent(o.list[last], p) {
				o.list[last] = o.list[last][:len(o.list[last])+len(p)]
				continue
			}
			if len(o.list) == outputSlicesMax {
				return o.list
			}
			o.list = append(o.list, p)
		}
	}
	return o.list
}

// adjacent says whether b starts where a ends, in the same block.
func adjacent(a, b []byte) bool {
	return cap(a)-len(a) >= len(b) && &a[:len(a)+1][len(a)] == &b[0]
}

// keepBegun drops all but the first frame, if some of that was sent. Its rest is
// kept as a copy, for rings are closed when their streams are gone. false: it has
// changed and is dropped, too; nothing can be sent any more that the peer could
// tell from the rest of that frame.
func (o *output) keepBegun() bool {
	if o.done == 0 || len(o.queue) == 0 {
		*o = output{sent: o.sent}
		return true
	}
	if !o.queue[0].settle() {
		*o = output{sent: o.sent}
		return false
	}
	first := o.queue[0]
	first.stream = nil
	*o = output{sent: o.sent, done: o.done}
	o.push(first)
	return true
}

// drop takes the frames of a stream out of the queue, from index at on, all but
// one that was begun.
func (o *output) drop(s *stream, at int) {
	kept := o.queue[:at]
	for i := at; i < len(o.queue); i++ {
		f := o.queue[i]
		if f.stream == s && !(i == 0 && o.done > 0) {
			o.count(&f, -1)
			continue
		}
		kept = append(kept, f)
	}
	clear(o.queue[len(kept):])
	o.queue = kept
	o.reset()
}

// reset lets go of memory when there is nothing left to send.
func (o *output) reset() {
	if len(o.queue) > 0 {
		return
	}
	clear(o.fewSlices[:])
	o.queue, o.list = o.few[:0], nil
	if o.block = o.block[:0]; cap(o.block) > blockBytesMin {
		o.block = nil
	}
}

// settle makes a private copy of ring bytes, so that nothing can change them any
// more. false: they may have changed already. A reader that still holds producers,
// after the copy, says that they have not; else the frame's checksum does, but for
// a ring whose records have their own: these make it blind for a record in the
// place of another of its length, since what precedes a right CRC32C does not
// matter to one that goes over both.
func (f *outFrame) settle() bool {
	if !f.ring {
		return true
	}
	body := make([]byte, len(f.body))
	if shmring.Guarded(func() { copy(body, f.body) }) != nil {
		return false
	}
	source := f.stream.tx.source
	if !source.Intact() && (source.Config().Checksum || wire.CheckDataSum(f.head, addSum(wire.DataSum(f.head), body)) != nil) {
		return false
	}
	f.body, f.ring = body, false
	return true
}

// Output is what is to be sent, in order. The slices are good until the next call
// of a method other than Sent, which may drop what was not begun, and what Sent
// did not cover is in the next Output.
func (c *Conn) Output() [][]byte {
	var seen *stream
	for i := 0; i < len(c.out.queue); i++ {
		f := &c.out.queue[i]
		if !f.ring || f.stream == seen {
			continue
		}
		seen = f.stream
		if !seen.tx.source.Intact() && !c.salvage(seen) {
			break
		}
	}
	return c.out.slices()
}

// Sent says that the socket took the first n bytes of the last Output.
func (c *Conn) Sent(n int) error {
	o := &c.out
	o.sent += uint64(n)
	for n > 0 && len(o.queue) > 0 {
		f := &o.queue[0]
		step := min(n, f.size()-o.done)
		n -= step
		o.done += step
		if f.ring && o.done > len(f.head) && !f.stream.tx.source.Intact() && !f.settle() {
			return c.overwritten(f.stream)
		}
		if o.done < f.size() {
			break
		}
		o.flushed(f)
		o.count(f, -1)
		o.done = 0
		o.queue[0] = outFrame{}
		o.queue = o.queue[1:]
	}
	o.reset()
	return nil
}

func (c *Conn) overwritten(s *stream) error {
	return c.fail(wire.CodeInternal, "stream %d: its reader had to give way while its bytes were sent, and some were overwritten", s.number)
}

// flushed notes that a frame was sent whole.
func (o *output) flushed(f *outFrame) {
	if f.stream == nil {
		return
	}
	t := f.stream.tx
	t.flushed = f.to
	if f.kind == outGap {
		t.gaps++
		t.gapRecords += f.to.Sequence - f.from.Sequence
	}
}

// salvage looks after the queued ring bytes of a reader that does not hold
// producers any more: what is still whole is copied; from the first frame on
// that is not, the stream's frames are dropped, and become a gap when it is
// pumped next. false: that frame was begun, and the connection has failed.
func (c *Conn) salvage(s *stream) bool {
	for i := range c.out.queue {
		f := &c.out.queue[i]
		if f.stream != s || f.settle() {
			continue
		}
		if i == 0 && c.out.done > 0 {
			c.overwritten(s)
			return false
		}
		s.tx.sent = f.from
		c.out.drop(s, i)
		return true
	}
	return true
}
