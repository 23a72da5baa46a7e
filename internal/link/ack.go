package link

import (
	"math"
	"time"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// When a receiver tells its sender what it keeps and how far it may send.
const (
	ackDelay       = 10 * time.Millisecond // at most, after something was received
	ackParts       = 8                     // at once when that part of the window was not told of
	starvedParts   = 4                     // less than that part of the window ahead: look often
	lookPauseMin   = time.Millisecond      // between two looks at a starved sink
	starvedLookMax = 8 * time.Millisecond  // the same, when nothing changes
	lookMax        = 64 * time.Millisecond // for a sink that is not starved, and does not keep all it has yet
)

const never = math.MaxInt64

// begin starts to receive: the sender may send nothing before this ack.
func (c *Conn) begin(s *stream, sink Sink, kept shmring.Boundary, limit uint64) {
	s.rx = &receiver{sink: sink, frame: s.part, next: s.start, acked: s.start, lookAt: never, pause: int64(lookPauseMin)}
	s.rx.tell(c, s, kept, limit)
	if s.rx.starved() {
		s.rx.lookAt = math.MinInt64 // with the next Tick
	}
}

// tell sends an ack. What is kept and what is granted never go back, whatever
// the sink says: its readers may come and go.
func (r *receiver) tell(c *Conn, s *stream, kept shmring.Boundary, limit uint64) {
	if kept.Position > r.acked.Position {
		r.acked = kept
	}
	r.limit = max(r.limit, limit&^(shmring.AlignBytes-1), r.acked.Position)
	if r.limit > r.next.Position {
		r.window = max(r.window, r.limit-r.next.Position)
	}
	c.out.control(wire.LinkAckFrame{Stream: s.number, Position: r.acked.Position, Sequence: r.acked.Sequence, Limit: r.limit}.Append)
}

// starved says whether the sender may soon have to wait, or does already.
func (r *receiver) starved() bool {
	return r.limit < r.next.Position+max(r.window/starvedParts, r.frame)
}

// committed decides, after a chunk, whether to ask the sink now or in a moment.
func (c *Conn) committed(s *stream, now int64) {
	r := s.rx
	r.pause = int64(lookPauseMin)
	r.frame = s.part
	if r.starved() || r.next.Position-r.acked.Position >= r.window/ackParts {
		c.progress(s, now, false)
		return
	}
	r.lookAt = min(r.lookAt, now+int64(ackDelay))
}

// progress asks the sink how far it is and tells the sender, when it is due or
// worth it, and plans the next look.
func (c *Conn) progress(s *stream, now int64, due bool) {
	r := s.rx
	kept, limit, err := r.sink.Progress()
	if err != nil {
		c.lose(s, err)
		return
	}
	var moved, grown uint64
	if kept.Position > r.acked.Position {
		moved = kept.Position - r.acked.Position
	}
	if limit > r.limit {
		grown = limit - r.limit
	}
	tell := due && moved+grown > 0 || max(moved, grown) >= max(r.window/ackParts, 1) || grown > 0 && r.starved()
	if tell {
		r.tell(c, s, kept, limit)
		r.pause = int64(lookPauseMin)
	}
	if tell || due {
		r.lookAt = never
	}
	r.plan(now)
}

// plan sets when to look again, if there is anything to look for.
func (r *receiver) plan(now int64) {
	switch {
	case r.starved():
		r.pause = min(r.pause, int64(starvedLookMax))
	case r.acked == r.next:
		return
	default:
		r.pause = min(max(r.pause, int64(ackDelay)), int64(lookMax))
	}
	r.lookAt = min(r.lookAt, now+r.pause)
	r.pause *= 2
}
