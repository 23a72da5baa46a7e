package gateway

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"brokerd/internal/framing"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// outletBytesMax is how far records are framed ahead of the socket; one record
// more than that at most.
const outletBytesMax = 64 << 10

// feedReader is a reader of a feed's ring and the frames made of its records that
// no socket has taken whole yet. That of a feed that dials outlives its
// connections: the next one begins with the first frame that was not handed on.
type feedReader struct {
	place
	f      *feed
	reader *shmring.Consumer
	watch  watched
	buf    []byte
	done   int   // bytes of buf that were handed on
	ends   []int // where each frame in buf ends
}

func (f *feed) newReader() (*feedReader, error) {
	lease, at, err := f.attach(wire.RoleConsumer)
	if err != nil {
		return nil, err
	}
	r := &feedReader{place: at, f: f}
	from := shmring.FromLatest()
	if f.fromOldest {
		from = shmring.FromOldest()
	}
	if r.reader, err = openConsumer(lease, shmring.ConsumerOptions{From: from}); err != nil {
		f.g.detach(at, false)
		return nil, err
	}
	f.fromOldest = false
	r.watch.reader = r.reader
	return r, nil
}

func (r *feedReader) close() {
	r.watch.leave()
	_ = r.reader.Close() // the attachment ends next, whatever this says
	r.f.g.detach(r.place, false)
}

// fill frames records until there is enough, or no more: then it is told when
// there are.
func (r *feedReader) fill() error {
	for len(r.buf) < outletBytesMax {
		record, err := r.reader.TryReceive()
		switch {
		case errors.Is(err, shmring.ErrEmpty):
			if len(r.buf) == 0 {
				r.f.g.listenTo(&r.watch)
			}
			return nil
		case errors.Is(err, shmring.ErrEndOfStream):
			continue
		case err != nil:
			var damaged *shmring.ChecksumError
			if errors.As(err, &damaged) {
				r.giveUp(err)
				continue
			}
			return fmt.Errorf("ring %s: %w", r.f.want.Ring, err)
		}
		r.f.dropped += record.Missed + record.Gaps
		if err := r.frame(record); err != nil {
			return err
		}
	}
	return nil
}

// frame makes a frame of a record, whose payload may be bytes of the ring. What no
// frame can be made of is given up.
func (r *feedReader) frame(record shmring.Record) error {
	if n := len(record.Payload); n > r.f.want.FrameBytesMax {
		r.giveUp(fmt.Errorf("record %d: %d bytes, frame_max is %d", record.Sequence, n, r.f.want.FrameBytesMax))
		return nil
	}
	framed, bad := r.buf, error(nil)
	fault := shmring.Guarded(func() { framed, bad = framing.Kind(r.f.want.Framing).Append(r.buf, record.Payload) })
	switch {
	case fault != nil:
		return fmt.Errorf("ring %s: %w", r.f.want.Ring, fault)
	case bad != nil:
		r.giveUp(fmt.Errorf("record %d: %w", record.Sequence, bad))
		return nil
	}
	r.buf = framed
	r.ends = append(r.ends, len(framed))
	r.f.frames++
	r.f.bytes += uint64(len(record.Payload))
	return nil
}

func (r *feedReader) giveUp(why error) {
	r.f.dropped++
	r.f.tell("feed: a record is not sent", zap.NamedError("reason", why))
}

// took says that n more bytes were handed on.
func (r *feedReader) took(n int) {
	if r.done += n; r.done == len(r.buf) {
		r.buf, r.ends, r.done = r.buf[:0], r.ends[:0], 0
	}
	if len(r.buf) == 0 && cap(r.buf) > 2*outletBytesMax {
		r.buf = nil
	}
}

// rewind goes back to the start of the first frame that was not handed on whole,
// and says how many there are.
func (r *feedReader) rewind() int {
	start := 0
	for len(r.ends) > 0 && r.ends[0] <= r.done {
		start, r.ends = r.ends[0], r.ends[1:]
	}
	r.buf = append([]byte(nil), r.buf[start:]...)
	ends := make([]int, len(r.ends))
	for i, end := range r.ends {
		ends[i] = end - start
	}
	r.ends, r.done = ends, 0
	return len(ends)
}

// outlet sends the records of a ring over one connection. What comes in is thrown
// away. The end of the other side's stream ends the connection, and from the moment
// that it is known nothing more is handed on: nobody may be there to read it.
type outlet struct {
	f     *feed
	sock  *socket
	r     *feedReader
	moved int64 // when something was handed on last, or there was nothing to
	quit  error // of the ring: the connection ends once buf is empty
	idle  bool
}

func (f *feed) newOutlet(s *socket) (session, error) {
	r := f.out
	if f.listener != nil {
		var err error
		if r, err = f.newReader(); err != nil {
			return nil, err
		}
	}
	o := &outlet{f: f, sock: s, r: r, moved: f.g.loop.now()}
	r.watch.news = o.pump
	return o, nil
}

func (o *outlet) direct() []byte          { return nil }
func (o *outlet) landed(int64, int) error { return nil }

func (o *outlet) input(int64, []byte) error { return nil }

func (o *outlet) output() [][]byte {
	if o.sock.hung || o.idle {
		return nil
	}
	if len(o.r.buf) == 0 && o.quit == nil {
		if o.quit = o.r.fill(); o.quit != nil {
			o.sock.retick() // which ends it
		}
	}
	if len(o.r.buf) == o.r.done {
		return nil
	}
	return [][]byte{o.r.buf[o.r.done:]}
}

func (o *outlet) sent(n int) error {
	o.moved = o.f.g.loop.now()
	o.r.took(n)
	if o.quit != nil {
		o.sock.retick()
	}
	return nil
}

// pump is called when the ring has news. A reader whose frames the socket does not
// take leaves its door, which would not sleep for it.
func (o *outlet) pump() {
	if len(o.r.buf) == 0 {
		o.moved = o.f.g.loop.now()
	}
	o.sock.flush()
	if len(o.r.buf) > 0 || o.quit != nil {
		o.r.watch.leave()
	}
}

func (o *outlet) tick(now int64) (next int64, err error) {
	limit := o.f.want.IdleTimeout.Nanoseconds()
	switch {
	case o.quit != nil && len(o.r.buf) == 0:
		return never, o.quit
	case limit == 0:
		return never, nil
	case len(o.r.buf) == 0:
		o.moved = now
	case now >= o.moved+limit:
		o.idle = true
		return never, fmt.Errorf("%w: the other side took nothing for %s", errIdle, o.f.want.IdleTimeout)
	}
	return o.moved + limit, nil
}

func (o *outlet) closed(cause error) {
	o.r.watch.leave()
	switch {
	case o.f.listener != nil:
		o.r.close()
	case o.quit != nil:
		o.f.loseReader(o.quit)
	default:
		o.r.rewind()
	}
	o.f.over(o.sock, cause, 0)
}
