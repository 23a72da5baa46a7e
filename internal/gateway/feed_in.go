package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"brokerd/internal/framing"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// feedWriter is the producer that all connections of a feed publish by.
type feedWriter struct {
	place
	f        *feed
	producer *shmring.Producer
}

func (f *feed) newWriter() (*feedWriter, error) {
	lease, at, err := f.attach(wire.RoleProducer)
	if err != nil {
		return nil, err
	}
	w := &feedWriter{place: at, f: f}
	if w.producer, err = openProducer(lease); err != nil {
		f.g.detach(at, false)
		return nil, err
	}
	return w, nil
}

func (w *feedWriter) close() {
	_ = w.producer.Close() // the attachment ends next, whatever this says
	w.f.g.detach(w.place, false)
}

// feedTurnFramesMax is how many frames of one connection are published before
// other connections have their turn.
const feedTurnFramesMax = 1024

// inlet publishes what one connection of a feed receives. While the ring is full
// the connection is not read, so that the other side is held back.
type inlet struct {
	f        *feed
	sock     *socket
	splitter *framing.Splitter
	held     []byte // a frame that the ring does not take yet
	retryAt  int64
	pause    time.Duration
	heard    int64 // when something came last
}

func (f *feed) newInlet(s *socket) (session, error) {
	if err := f.takePlace(); err != nil {
		return nil, err
	}
	limit := min(f.want.FrameBytesMax, int(f.in.ring.RecordMax))
	splitter, err := framing.NewSplitter(framing.Kind(f.want.Framing), limit)
	if err != nil {
		return nil, err
	}
	return &inlet{f: f, sock: s, splitter: splitter, heard: f.g.loop.now()}, nil
}

func (i *inlet) direct() []byte          { return nil }
func (i *inlet) landed(int64, int) error { return nil }
func (i *inlet) output() [][]byte        { return nil }
func (i *inlet) sent(int) error          { return nil }

func (i *inlet) input(now int64, p []byte) error {
	i.heard = now
	i.splitter.Add(p)
	return i.drain(now)
}

// drain publishes the frames that are whole, until the ring is full, or others
// have waited for long enough.
func (i *inlet) drain(now int64) error {
	for range feedTurnFramesMax {
		if i.held == nil {
			frame, ok, err := i.splitter.Next()
			if err != nil {
				return i.f.unusable(i.sock, err)
			}
			if !ok {
				i.drained(now)
				return nil
			}
			i.held = frame
		}
		switch err := i.f.in.producer.Send(context.Background(), i.held); {
		case errors.Is(err, shmring.ErrFull):
			i.pause = nextRetry(i.pause)
			i.wait(now + i.pause.Nanoseconds())
			return nil
		case err != nil:
			err = fmt.Errorf("ring %s: %w", i.f.want.Ring, err)
			i.f.loseWriter(err) // with this connection
			return err
		}
		i.f.frames++
		i.f.bytes += uint64(len(i.held))
		i.held, i.pause = nil, 0
	}
	i.wait(now)
	return nil
}

// wait stops receiving until drain is called again.
func (i *inlet) wait(until int64) {
	i.retryAt = until
	i.sock.pause()
	i.sock.retick()
}

// drained goes on receiving. Nothing could come meanwhile, which is not silence.
func (i *inlet) drained(now int64) {
	if i.retryAt != 0 {
		i.retryAt, i.pause, i.heard = 0, 0, now
		i.sock.resume()
	}
}

func (i *inlet) tick(now int64) (next int64, err error) {
	if i.retryAt != 0 && now >= i.retryAt {
		if err := i.drain(now); err != nil {
			return never, err
		}
	}
	limit := i.f.want.IdleTimeout.Nanoseconds()
	switch {
	case i.retryAt != 0:
		return i.retryAt, nil
	case limit == 0:
		return never, nil
	case now >= i.heard+limit:
		return never, fmt.Errorf("%w: nothing came for %s", errIdle, i.f.want.IdleTimeout)
	}
	return i.heard + limit, nil
}

// closed counts the frames that had come and found no room in the ring. An orderly
// end inside a frame is a bad frame, a connection that broke there is none.
func (i *inlet) closed(cause error) {
	lost := 0
	if i.held != nil {
		lost++
	}
	for _, whole, _ := i.splitter.Next(); whole; _, whole, _ = i.splitter.Next() {
		lost++
	}
	if cut := i.splitter.Rest(); cut != nil && errors.Is(cause, errEnded) {
		cause = i.f.unusable(i.sock, cut)
	}
	i.f.over(i.sock, cause, lost)
}
