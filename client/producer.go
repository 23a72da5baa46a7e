package client

import (
	"context"
	"fmt"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// Producer publishes records into a ring. One goroutine at a time uses it.
//
// Every method that may wait looks at its context only when it has to wait, and
// notices its end within 100 ms. Errors: ErrFull, *RecordTooLargeError; those
// that last, *RemovedError, ErrDetached, ErrLost, ErrCorrupt, ErrFault, ErrClosed;
// and the context's.
type Producer struct {
	ring *shmring.Producer
	wait waiting
	a    *attachment
}

// Producer attaches to a ring as a producer. Errors are the daemon's refusals
// (IsRefused), such as ErrRingNotFound, ErrAccessDenied, ErrProducerPresent or,
// where a ring has many, ErrSlotsExhausted; and ErrUnreachable.
func (c *Client) Producer(ctx context.Context, ring string, o ProducerOptions) (*Producer, error) {
	wait, err := checkProducer(o)
	if err != nil {
		return nil, err
	}
	p := &Producer{}
	in := wire.AttachIn{Ring: ring, Role: wire.RoleProducer, Name: o.Name, WaitStrategy: o.WaitStrategy}
	p.a, err = c.attach(ctx, in, func(a *attachment, files lent) (func() error, error) {
		opened, err := shmring.OpenProducer(files.data, files.cursors, shmring.ProducerOptions{
			Slot: a.info.Slot, Generation: a.info.Generation, Wait: wait, OnFull: o.OnFull, Tag: o.Tag,
		})
		if err != nil {
			return nil, fmt.Errorf("open ring %s: %w", ring, err)
		}
		p.ring = opened
		return opened.Close, nil
	})
	if err != nil {
		return nil, err
	}
	p.wait = waiting{Context: context.Background(), a: p.a, limit: o.BlockTimeout}
	return p, nil
}

// Reserve claims room for a record of n bytes, to be filled in place and then
// published with Commit or given up with Abort; another Reserve or Send gives it
// up as well. With many producers the record has its place from now on: readers
// wait there, for it and for all that others publish behind it.
func (p *Producer) Reserve(ctx context.Context, n int) ([]byte, error) {
	if lost := p.a.lost(); lost != nil {
		return nil, lost
	}
	buf, err := p.ring.Reserve(p.wait.with(ctx), n)
	return buf, p.a.explain(err)
}

// Commit publishes what Reserve claimed.
func (p *Producer) Commit() error { return p.a.explain(p.ring.Commit()) }

// Abort gives up what Reserve claimed. With many producers readers have been
// waiting at its place: it becomes a gap of one record, which they step over and
// count (Record.Gaps). Error: ErrFault.
func (p *Producer) Abort() error { return p.ring.Abort() }

// Send publishes one record. With OnFullDrop a record that found no room is
// counted in Stats and Send returns nil; with OnFullFail it returns ErrFull.
func (p *Producer) Send(ctx context.Context, payload []byte) error {
	if lost := p.a.lost(); lost != nil {
		return lost
	}
	return p.a.explain(p.ring.Send(p.wait.with(ctx), payload))
}

// TrySend publishes one record if there is room now, or returns ErrFull.
func (p *Producer) TrySend(payload []byte) error {
	if lost := p.a.lost(); lost != nil {
		return lost
	}
	return p.a.explain(p.ring.TrySend(payload))
}

// SendBatch publishes records in order and says how many it published; sleeping
// readers are woken once for all of them.
func (p *Producer) SendBatch(ctx context.Context, payloads [][]byte) (int, error) {
	if lost := p.a.lost(); lost != nil {
		return 0, lost
	}
	n, err := p.ring.SendBatch(p.wait.with(ctx), payloads)
	return n, p.a.explain(err)
}

// End publishes an end-of-stream record, which readers see as ErrEndOfStream.
func (p *Producer) End(ctx context.Context) error {
	if lost := p.a.lost(); lost != nil {
		return lost
	}
	return p.a.explain(p.ring.End(p.wait.with(ctx)))
}

// Flush waits until everything that was published has reached the ring, which it
// has at once on this host. Of a remote Producer the other side acknowledges it.
// Error: *UnacknowledgedError, when the attachment or ctx ends before.
func (p *Producer) Flush(ctx context.Context) error {
	if p.a.origin == nil {
		return nil
	}
	return p.a.origin.flush(ctx, shmring.Boundary{Position: p.ring.Position(), Sequence: p.ring.Sequence()})
}

// SetTag gives the records that are published from now on another tag.
func (p *Producer) SetTag(tag uint16) { p.ring.SetTag(tag) }

// Position is the position behind the last record published, in bytes.
func (p *Producer) Position() uint64 { return p.ring.Position() }

// Sequence is how many records the ring has had since its epoch began.
func (p *Producer) Sequence() uint64 { return p.ring.Sequence() }

// Epoch is the ring's: it changes when a ring of that name is made anew.
func (p *Producer) Epoch() uint64 { return p.ring.Epoch() }

// Stats counts what this Producer did.
func (p *Producer) Stats() ProducerStats { return p.ring.Stats() }

// ID is the attachment's, as Attachments lists it and Detach takes it.
func (p *Producer) ID() string { return p.a.id() }

// Ring is the ring as it was lent.
func (p *Producer) Ring() Ring { return p.a.ring }

// Close detaches. A record that was reserved and not committed is given up, as by
// Abort. Closing again does nothing. The error tells of an attachment that had
// ended before (ErrLost), or of a ring whose memory is gone; a daemon that is away
// is told later and is no error.
func (p *Producer) Close() error { return p.a.close() }

// checkProducer says what is wrong with the options, or how to wait.
func checkProducer(o ProducerOptions) (shmring.WaitStrategy, error) {
	if o.BlockTimeout < 0 {
		return 0, fmt.Errorf("block timeout %v: want 0 (no limit) or more", o.BlockTimeout)
	}
	return waitStrategy(o.WaitStrategy)
}

func waitStrategy(w WaitStrategy) (shmring.WaitStrategy, error) {
	if w == "" {
		return shmring.WaitAuto, nil
	}
	return shmring.ParseWaitStrategy(string(w))
}
