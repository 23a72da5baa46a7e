package shmring

import (
	"context"
	"errors"
	"runtime/debug"
	"time"
)

// Reserve opens a record of n payload bytes and returns the bytes to fill, in
// the ring itself: Commit publishes them, Abort drops them. When a reader holds
// the producer it waits until ctx ends (OnFullBlock) or returns ErrFull. A new
// Reserve drops an open one. With many producers the record has its place in the
// order from now on: readers wait there for Commit or Abort. Errors: *RecordTooLargeError, ErrFull, ErrRemoved,
// ErrCorrupt, ErrFault, ErrClosed, or the cause of ctx's end.
func (p *Producer) Reserve(ctx context.Context, n int) ([]byte, error) {
	if err := p.open(ctx, n, 1, p.onFull == OnFullBlock); err != nil {
		return nil, err
	}
	off := p.body()
	return p.b[off : off+uint64(n) : off+uint64(n)], nil
}

// ClaimPosition is where the open claim begins, after Reserve: at its pad, if it
// has one.
func (p *Producer) ClaimPosition() uint64 { return p.tail }

// Commit publishes the open record and wakes readers that sleep.
func (p *Producer) Commit() error {
	if p.frame == 0 {
		return ErrNothingReserved
	}
	return p.finish(kindData, nil)
}

// Abort drops the open record, if any. With many producers readers have been
// waiting at its place: it becomes a gap of one record.
func (p *Producer) Abort() error {
	gap, err := p.dropNow()
	if err != nil || !gap {
		return err
	}
	return p.wake()
}

func (p *Producer) dropNow() (gap bool, err error) {
	defer p.m.catch(&err, debug.SetPanicOnFault(true))
	return p.drop(), nil
}

// Send publishes a copy of payload. When a reader holds the producer it waits
// until ctx ends (OnFullBlock), counts the record as dropped and returns nil
// (OnFullDrop), or returns ErrFull (OnFullFail). Errors as for Reserve.
func (p *Producer) Send(ctx context.Context, payload []byte) error {
	err := p.send(ctx, payload, p.onFull == OnFullBlock, true)
	if err == ErrFull && p.onFull == OnFullDrop {
		return p.countDrop()
	}
	return err
}

// TrySend is Send that returns ErrFull instead of waiting or dropping.
func (p *Producer) TrySend(payload []byte) error {
	return p.send(context.Background(), payload, false, true)
}

// SendBatch publishes copies of all payloads in order and wakes sleeping
// readers once. It returns how many payloads it is done with: published, or
// with OnFullDrop counted as dropped.
func (p *Producer) SendBatch(ctx context.Context, payloads [][]byte) (n int, err error) {
	for n < len(payloads) && err == nil {
		err = p.send(ctx, payloads[n], p.onFull == OnFullBlock, false)
		if err == ErrFull && p.onFull == OnFullDrop {
			err = p.countDrop()
		}
		if err == nil {
			n++
		}
	}
	return n, errors.Join(err, p.wake())
}

// End publishes an end-of-stream record; more may follow it.
func (p *Producer) End(ctx context.Context) error {
	if err := p.open(ctx, 0, 0, p.onFull == OnFullBlock); err != nil {
		return err
	}
	return p.finish(kindEnd, nil)
}

// send is one record, in one guarded step where no reader holds the producer.
func (p *Producer) send(ctx context.Context, payload []byte, block, wake bool) error {
	published := p.stats.Records
	err := p.sendNow(payload, wake)
	switch {
	case err == nil:
		return nil
	case err == errCursorFault && p.stats.Records != published:
		return p.wake() // the record is out, a page faulted while waking
	case err != errCursorFault && err != errHeld:
		return err
	}
	if err := p.open(ctx, len(payload), 1, block); err != nil {
		return err
	}
	return p.finish(kindData, payload)
}

// errHeld: the fast step found a reader in the way.
var errHeld = errors.New("held")

func (p *Producer) sendNow(payload []byte, wake bool) (err error) {
	defer p.m.catch(&err, debug.SetPanicOnFault(true))
	if err := p.admit(len(payload)); err != nil {
		return err
	}
	if p.held.since != 0 {
		return errHeld
	}
	if holder, err := p.claim(uint64(len(payload)), 1); err == errContended || holder != slotNone {
		return errHeld
	} else if err != nil {
		return err
	}
	copyIn(p.b, p.body(), payload)
	p.publish(kindData)
	if wake {
		p.wakeSleepers()
	}
	return nil
}

// admit says why a record of n bytes cannot be opened now, if so.
func (p *Producer) admit(n int) error {
	if p.closed {
		return ErrClosed
	}
	if uint64(n) > p.recordMax {
		return &RecordTooLargeError{Size: n, Max: int(p.recordMax)}
	}
	if p.drop() {
		p.wakeSleepers()
	}
	return p.live()
}

// finish publishes the open claim, with payload copied in if it is given.
func (p *Producer) finish(kind uint64, payload []byte) error {
	if err := p.finishNow(kind, payload); err != nil {
		return err
	}
	return p.wake()
}

func (p *Producer) finishNow(kind uint64, payload []byte) (err error) {
	defer p.m.catch(&err, debug.SetPanicOnFault(true))
	if payload != nil {
		copyIn(p.b, p.body(), payload)
	}
	p.publish(kind)
	return nil
}

// publish commits the open claim with the time of now.
func (p *Producer) publish(kind uint64) {
	var now int64
	if p.timestamps {
		now = time.Now().UnixNano()
	}
	n := p.payload
	p.commit(kind, p.tag, now)
	if kind == kindData {
		p.stats.Records++
		p.stats.Bytes += n
	}
}

// wake wakes sleeping readers; one whose page faults is evicted on the way.
func (p *Producer) wake() error {
	for {
		if err := p.wakeNow(); err != errCursorFault {
			return err
		}
	}
}

func (p *Producer) wakeNow() (err error) {
	defer p.m.catch(&err, debug.SetPanicOnFault(true))
	p.wakeSleepers()
	return nil
}

func (p *Producer) countDrop() (err error) {
	defer p.m.catch(&err, debug.SetPanicOnFault(true))
	p.stats.Dropped++
	p.count(psDropped, 1)
	return nil
}
