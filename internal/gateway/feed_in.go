package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"brokerd/internal/framing"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// feedWriter is the producer that all connections of a feed publish by.
type feedWriter struct {
	f        *feed
	ring     wire.Ring
	id       string
	producer *shmring.Producer
}

func (f *feed) newWriter() (*feedWriter, error) {
	lease, err := f.attach(wire.RoleProducer)
	if err != nil {
		return nil, err
	}
	a, files := lease.Out.Attachment, lease.Out.Files
	cursors := make([]*os.File, len(files.Cursors))
	for i, at := range files.Cursors {
		cursors[i] = lease.Files[at]
	}
	w := &feedWriter{f: f, ring: lease.Out.Ring, id: a.ID}
	w.producer, err = shmring.OpenProducer(lease.Files[files.Data], cursors, shmring.ProducerOptions{
		Slot: a.Slot, Generation: a.Generation, OnFull: shmring.OnFullFail,
	})
	if err != nil {
		f.detach(w.ring, w.id)
		return nil, err
	}
	return w, nil
}

func (w *feedWriter) close() {
	_ = w.producer.Close() // the attachment ends next, whatever this says
	w.f.detach(w.ring, w.id)
}

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
	if f.in == nil {
		w, err := f.newWriter()
		if err != nil {
			return nil, err
		}
		f.in = w
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

// drain publishes the frames that are whole, until the ring is full.
func (i *inlet) drain(now int64) error {
	for {
		if i.held == nil {
			frame, ok, err := i.splitter.Next()
			if err != nil {
				return i.f.unusable(i.sock, err)
			}
			if !ok {
				i.retryAt, i.pause = 0, 0
				i.sock.resume()
				return nil
			}
			i.held = frame
		}
		switch err := i.f.in.producer.Send(context.Background(), i.held); {
		case errors.Is(err, shmring.ErrFull):
			i.pause = min(max(2*i.pause, feedRetryMin), feedRetryMax)
			i.retryAt = now + i.pause.Nanoseconds()
			i.sock.pause()
			i.sock.retick()
			return nil
		case err != nil:
			return fmt.Errorf("ring %s: %w", i.f.want.Ring, err)
		}
		i.f.frames++
		i.f.bytes += uint64(len(i.held))
		i.held = nil
	}
}

func (i *inlet) tick(now int64) (next int64, err error) {
	if i.retryAt != 0 && now >= i.retryAt {
		if err := i.drain(now); err != nil {
			return never, err
		}
	}
	next = never
	if i.retryAt != 0 {
		next = i.retryAt
	} else if limit := i.f.want.IdleTimeout.Nanoseconds(); limit > 0 {
		if next = i.heard + limit; now >= next {
			return never, fmt.Errorf("%w: nothing came for %s", errIdle, i.f.want.IdleTimeout)
		}
	}
	return next, nil
}

func (i *inlet) closed(cause error) {
	if cut := i.splitter.Rest(); cut != nil && errors.Is(cause, errEnded) {
		cause = i.f.unusable(i.sock, cut)
	}
	i.f.over(i.sock, cause)
}
