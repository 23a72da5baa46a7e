package link

import (
	"encoding/binary"

	"brokerd/internal/wire"
)

// pipe is one direction of a connection between two hosts: bytes on their way.
type pipe struct {
	w      *world
	bytes  []byte
	room   int   // bytes that fit on the way
	stall  int64 // nothing arrives before that time
	closed bool  // the writer is done
	parser tamperer
}

// write takes some of the slices, as a socket does.
func (p *pipe) write(slices [][]byte) (n int) {
	limit := p.room - len(p.bytes)
	if limit > 0 && p.w.chance(40) {
		limit = p.w.between(1, limit)
	}
	for _, s := range slices {
		take := min(len(s), limit-n)
		if take <= 0 {
			break
		}
		p.bytes = p.parser.pass(p.bytes, s[:take])
		n += take
	}
	return n
}

// ready says whether something can be read now.
func (p *pipe) ready() bool { return p.w.now >= p.stall && (len(p.bytes) > 0 || p.closed) }

// tamperer may change one frame on the way: a flipped bit, as a bad network does,
// or, with a right checksum, what no correct peer sends.
type tamperer struct {
	w       *world
	flip    bool  // a bit of the next data frame
	forge   forge // of the next data frame
	head    []byte
	left    int  // bytes of the present frame still to come
	flipAt  int  // counted from the end of the frame; -1 never
	done    bool // it was changed, or is not to be
	applied func(what string)
}

// forge is a lie in the head of a data frame.
type forge int

const (
	forgeNothing forge = iota
	forgeSequence
	forgePosition
	forgeEpoch
	forgeStream
	forgeKinds // how many
)

// plan has one frame of the connection changed, and only one.
func (t *tamperer) plan(flip bool, lie forge) {
	if !t.active() && !t.done {
		t.flip, t.forge = flip, lie
	}
}

func (t *tamperer) active() bool { return !t.done && (t.flip || t.forge != forgeNothing) }

// pass appends p to out, changed where it is time to. Heads of frames are held
// back until they are whole while something is to be changed.
func (t *tamperer) pass(out, p []byte) []byte {
	for len(p) > 0 {
		if t.left > 0 {
			n := min(len(p), t.left)
			out = append(out, p[:n]...)
			if t.flipAt >= 0 && t.left > t.flipAt && t.left-n <= t.flipAt {
				out[len(out)-n+(t.left-1-t.flipAt)] ^= 1 << t.w.rng.IntN(8)
				t.flipAt, t.done = -1, true
				t.applied("a flipped bit in the body of a data frame")
			}
			t.left -= n
			p = p[n:]
			continue
		}
		need := wire.LinkHeaderBytes
		if len(t.head) >= need && wire.LinkKind(t.head[4]) == wire.LinkData {
			need = wire.LinkDataHeaderBytes
		}
		n := min(len(p), need-len(t.head))
		t.head, p = append(t.head, p[:n]...), p[n:]
		if len(t.head) < need || need == wire.LinkHeaderBytes && wire.LinkKind(t.head[4]) == wire.LinkData {
			continue
		}
		t.left = int(binary.LittleEndian.Uint32(t.head)) - len(t.head)
		if need == wire.LinkDataHeaderBytes && t.active() {
			t.change()
		}
		out = append(out, t.head...)
		t.head = t.head[:0]
	}
	return out
}

// change spoils the data frame whose head is complete. A forged head gets a
// checksum that is right but for the body, which was not seen yet: only what is
// checked before the body can find it.
func (t *tamperer) change() {
	le := binary.LittleEndian
	if t.flip {
		t.flipAt = t.w.rng.IntN(t.left)
		return
	}
	t.done = true
	at, step := 16+8, uint64(16) // position
	switch t.forge {
	case forgeSequence:
		at, step = 16+16, 1
	case forgeEpoch:
		at, step = 16, 1
	case forgeStream:
		le.PutUint16(t.head[6:], le.Uint16(t.head[6:])+7)
		t.applied("a data frame for another stream")
		return
	}
	if t.w.chance(50) && le.Uint64(t.head[at:]) > 2*step {
		step = -step
	}
	le.PutUint64(t.head[at:], le.Uint64(t.head[at:])+step)
	t.applied("a forged data frame")
}

// end is one side of a connection on its host.
type end struct {
	w       *world
	name    string
	conn    *Conn
	in, out *pipe
	next    int64 // when Tick is due
	closed  bool  // the socket
	failed  *Error
	finish  bool // close once the output is flushed
	events  func(*end, Event)
}

// connect makes both ends of a new connection.
func (w *world) connect(dialer, acceptor Config, onDialer, onAcceptor func(*end, Event)) (a, b *end) {
	room := 1 << w.between(8, 17)
	forth, back := &pipe{w: w, room: room}, &pipe{w: w, room: room}
	for _, p := range []*pipe{forth, back} {
		p.parser = tamperer{w: w, flipAt: -1}
	}
	a = &end{w: w, name: dialer.Name, conn: New(dialer, w.now), in: back, out: forth, events: onDialer}
	b = &end{w: w, name: acceptor.Name, conn: New(acceptor, w.now), in: forth, out: back, events: onAcceptor}
	return a, b
}

// check takes note of a failure of the connection.
func (e *end) check(err error) {
	if err == nil || e.failed != nil {
		return
	}
	failure, ok := err.(*Error)
	if !ok {
		e.w.wrong("%s: %v, want an *Error", e.name, err)
	}
	e.w.note("%s: connection failed: %v", e.name, failure)
	e.failed, e.finish = failure, true
}

// turn is what the loop of a host does when something may have changed.
func (e *end) turn() {
	if e.closed {
		return
	}
	e.drain()
	e.check(e.conn.Pump(e.w.now))
	e.drain()
	e.flush()
	next, err := e.conn.Tick(e.w.now)
	e.check(err)
	e.next = next
	e.drain()
	e.flush()
	if e.finish && len(e.conn.Output()) == 0 {
		e.close()
	}
}

func (e *end) drain() {
	for {
		event, ok := e.conn.Next()
		if !ok {
			return
		}
		e.events(e, event)
	}
}

// flush writes what the network takes.
func (e *end) flush() {
	for !e.closed {
		n := e.out.write(e.conn.Output())
		if n == 0 {
			return
		}
		e.check(e.conn.Sent(n))
		e.check(e.conn.Pump(e.w.now))
	}
}

// receive reads once, if something is there.
func (e *end) receive() bool {
	if e.closed || !e.in.ready() {
		return false
	}
	if len(e.in.bytes) == 0 {
		e.close() // the peer has closed
		return true
	}
	n := len(e.in.bytes)
	if e.w.chance(50) {
		n = e.w.between(1, n)
	}
	if direct := e.conn.Direct(); direct != nil && e.w.chance(70) {
		n = copy(direct, e.in.bytes[:n])
		e.check(e.conn.Landed(e.w.now, n))
	} else {
		e.check(e.conn.Input(e.w.now, e.in.bytes[:n]))
	}
	e.in.bytes = e.in.bytes[n:]
	e.turn()
	return true
}

// move has both ends read once, and do what is due by now.
func (w *world) move(a, b *end) (moved bool) {
	moved = a.receive()
	moved = b.receive() || moved
	for _, e := range []*end{a, b} {
		if w.now >= e.next {
			e.turn()
		}
	}
	return moved
}

// close closes the socket: what is on its way still arrives.
func (e *end) close() {
	if !e.closed {
		e.w.note("%s: socket closed", e.name)
		e.closed, e.out.closed = true, true
	}
}

// reset is the end of a connection by which both lose what is on its way.
func (w *world) reset(a, b *end) {
	w.note("reset")
	for _, e := range []*end{a, b} {
		e.closed, e.out.closed, e.out.bytes = true, true, nil
	}
}
