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
	f      *feed
	ring   wire.Ring
	id     string
	reader *shmring.Consumer
	watch  watched
	buf    []byte
	done   int   // bytes of buf that were handed on
	ends   []int // where each frame in buf ends
}

func (f *feed) newReader() (*feedReader, error) {
	lease, err := f.attach(wire.RoleConsumer)
	if err != nil {
		return nil, err
	}
	a, files := lease.Out.Attachment, lease.Out.Files
	r := &feedReader{f: f, ring: lease.Out.Ring, id: a.ID}
	policy, err := shmring.ParsePolicy(string(a.Policy))
	if err == nil {
		r.reader, err = shmring.OpenConsumer(lease.Files[files.Data], lease.Files[files.Cursors[0]], shmring.ConsumerOptions{
			Slot: a.Slot, Generation: a.Generation, Policy: policy, Wait: shmring.WaitPark, From: shmring.FromLatest(),
		})
	}
	if err != nil {
		f.detach(r.ring, r.id)
		return nil, err
	}
	r.watch.reader = r.reader
	return r, nil
}

func (r *feedReader) close() {
	r.watch.leave()
	_ = r.reader.Close() // the attachment ends next, whatever this says
	r.f.detach(r.ring, r.id)
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
		framed, err := framing.Kind(r.f.want.Framing).Append(r.buf, record.Payload)
		if err != nil {
			r.giveUp(fmt.Errorf("record %d: %w", record.Sequence, err))
			continue
		}
		if len(record.Payload) > r.f.want.FrameBytesMax {
			r.giveUp(fmt.Errorf("record %d: %d bytes, frame_max is %d", record.Sequence, len(record.Payload), r.f.want.FrameBytesMax))
			continue
		}
		r.buf = framed
		r.ends = append(r.ends, len(framed))
		r.f.frames++
		r.f.bytes += uint64(len(record.Payload))
	}
	return nil
}

func (r *feedReader) giveUp(why error) {
	r.f.dropped++
	r.f.log().Warn("feed: a record is not sent", zap.Error(why))
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

// rewind goes back to the start of the first frame that was not handed on whole.
func (r *feedReader) rewind() {
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
}

// outlet sends the records of a ring over one connection. What comes in is thrown
// away.
type outlet struct {
	f     *feed
	sock  *socket
	r     *feedReader
	moved int64 // when something was handed on last, or there was nothing to
	quit  error
}

func (f *feed) newOutlet(s *socket) (session, error) {
	r := f.out
	if r == nil {
		var err error
		if r, err = f.newReader(); err != nil {
			return nil, err
		}
	}
	if f.listener == nil {
		f.out = r
	}
	o := &outlet{f: f, sock: s, r: r, moved: f.g.loop.now()}
	r.watch.news = o.pump
	return o, nil
}

func (o *outlet) direct() []byte          { return nil }
func (o *outlet) landed(int64, int) error { return nil }

func (o *outlet) input(int64, []byte) error { return nil }

func (o *outlet) output() [][]byte {
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
	return nil
}

// pump is called when the ring has news.
func (o *outlet) pump() {
	o.moved = o.f.g.loop.now()
	o.sock.flush()
	o.sock.retick()
}

func (o *outlet) tick(now int64) (next int64, err error) {
	limit := o.f.want.IdleTimeout.Nanoseconds()
	switch {
	case o.quit != nil:
		return never, o.quit
	case limit == 0 || len(o.r.buf) == 0:
		return never, nil
	case now >= o.moved+limit:
		return never, fmt.Errorf("%w: the other side took nothing for %s", errIdle, o.f.want.IdleTimeout)
	}
	return o.moved + limit, nil
}

func (o *outlet) closed(cause error) {
	o.r.watch.leave()
	if o.f.listener != nil || o.quit != nil {
		o.r.close()
		if o.f.out == o.r {
			o.f.out = nil
		}
	} else {
		o.r.rewind()
	}
	o.f.over(o.sock, cause)
}
