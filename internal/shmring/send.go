package shmring

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"
)

// ProducerOptions are what an attachment was granted and how it wants to write.
type ProducerOptions struct {
	Slot       int
	Generation uint32
	Wait       WaitStrategy
	OnFull     OnFull
}

// ProducerStats count since the attachment began.
type ProducerStats struct {
	Records, Bytes uint64 // published; payload bytes
	Dropped        uint64 // discarded by OnFullDrop
	HeldNanos      uint64 // waited for readers
}

// Producer writes a ring. It is used by one goroutine at a time; after Close no
// method may be called but Close.
type Producer struct {
	producer
	m      mapping
	config Config
	wait   WaitStrategy
	onFull OnFull
	stats  ProducerStats
	clock  time.Time // base of monotonic readings
	closed bool
}

// OpenProducer maps what the daemon lent, data read-write and all cursor pages
// read-only, and finds the end of what was published before. It closes the
// files in every case. Errors: ErrNotRing, ErrVersion, ErrCorrupt, ErrRemoved,
// ErrFault.
func OpenProducer(data *os.File, cursors []*os.File, o ProducerOptions) (p *Producer, err error) {
	defer func() {
		err = errors.Join(err, data.Close())
		for _, f := range cursors {
			err = errors.Join(err, f.Close())
		}
	}()
	config, err := readHeader(data)
	if err != nil {
		return nil, err
	}
	if config.Many || config.Checksum {
		return nil, fmt.Errorf("%w: rings with many producers or checksums", ErrNotSupported)
	}
	if o.Slot != 0 || len(cursors) != config.ConsumersMax {
		return nil, fmt.Errorf("slot %d with %d cursor pages: want slot 0 and %d pages", o.Slot, len(cursors), config.ConsumersMax)
	}
	m := mapping{}
	if m.data, err = mapFile(data, config.dataBytes(), true); err != nil {
		return nil, err
	}
	for _, f := range cursors {
		page, err := mapFile(f, cursorPageBytes, false)
		if err != nil {
			return nil, errors.Join(err, m.unmap())
		}
		m.cursors = append(m.cursors, page)
	}
	p = newProducer(m.data, m.cursors, config, o)
	p.fenced = !registerMembarrier()
	if err := p.resumeGuarded(); err != nil {
		return nil, errors.Join(err, p.m.unmap())
	}
	return p, nil
}

// newProducer sets up a Producer over bytes that are already mapped.
func newProducer(b []byte, cursors [][]byte, config Config, o ProducerOptions) *Producer {
	p := &Producer{
		producer: producer{
			ring:       ring{geometry: config.geometry(), b: b, cursors: cursors},
			slot:       o.Slot,
			timestamps: config.Timestamps,
		},
		config: config,
		wait:   o.Wait,
		onFull: o.OnFull,
		clock:  time.Now(),
	}
	p.m = mapping{data: b, cursors: cursors, onCursorFault: p.evict}
	return p
}

func (m *mapping) unmap() (err error) {
	for _, page := range m.cursors {
		err = errors.Join(err, unmap(page))
	}
	return errors.Join(err, unmap(m.data))
}

// evict ends the hold of a reader whose page faulted: only that reader has
// write access to the file, so only it can have truncated it.
func (p *Producer) evict(slot int) {
	p.held.evicted[slot] = load32(p.b, consumerEntry(slot)+csGeneration)
	p.demote(slot)
}

func (p *Producer) resumeGuarded() (err error) {
	defer p.m.catch(&err, debug.SetPanicOnFault(true))
	if err := p.live(); err != nil {
		return err
	}
	return p.resume()
}

// lent says whether the daemon still lends this producer its slot: an
// administrator may end the attachment of a process that lives on.
func (p *producer) lent() bool { return load64(p.b, offProducerMask)&(1<<p.slot) != 0 }

// live says why the ring cannot be written, if so.
func (p *producer) live() error {
	switch state := State(load32(p.b, offState)); {
	case state == StateRemoved:
		return ErrRemoved
	case state != StateLive:
		return corruptAt(p.tail, "the ring was retired")
	case p.tail >= positionMax:
		return corruptAt(p.tail, "the ring is used up")
	case !p.lent():
		return ErrDetached
	}
	return nil
}

// Reserve opens a record of n payload bytes and returns the bytes to fill, in
// the ring itself: Commit publishes them, Abort drops them. When a reader holds
// the producer it waits until ctx ends (OnFullBlock) or returns ErrFull. A new
// Reserve drops an open one. Errors: *RecordTooLargeError, ErrFull, ErrRemoved,
// ErrCorrupt, ErrFault, ErrClosed, or the cause of ctx's end.
func (p *Producer) Reserve(ctx context.Context, n int) ([]byte, error) {
	if err := p.open(ctx, n, p.onFull == OnFullBlock); err != nil {
		return nil, err
	}
	off := p.body()
	return p.b[off : off+uint64(n) : off+uint64(n)], nil
}

// Commit publishes the open record and wakes readers that sleep.
func (p *Producer) Commit() error {
	if p.frame == 0 {
		return ErrNothingReserved
	}
	return p.finish(kindData, nil)
}

// Abort drops the open record, if any: nothing of it was ever visible.
func (p *Producer) Abort() { p.frame = 0 }

// Send publishes a copy of payload. When a reader holds the producer it waits
// until ctx ends (OnFullBlock), counts the record as dropped and returns nil
// (OnFullDrop), or returns ErrFull (OnFullFail). Errors as for Reserve.
func (p *Producer) Send(ctx context.Context, payload []byte) error {
	err := p.send(ctx, payload, p.onFull == OnFullBlock, true)
	if err == ErrFull && p.onFull == OnFullDrop {
		return p.drop()
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
			err = p.drop()
		}
		if err == nil {
			n++
		}
	}
	return n, errors.Join(err, p.wake())
}

// End publishes an end-of-stream record; more may follow it.
func (p *Producer) End(ctx context.Context) error {
	if err := p.open(ctx, 0, p.onFull == OnFullBlock); err != nil {
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
	if err := p.open(ctx, len(payload), block); err != nil {
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
	if p.held.since != 0 || p.claim(uint64(len(payload))) != slotNone {
		return errHeld
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
	p.frame = 0
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
	p.commit(kind, 0, now)
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

func (p *Producer) drop() (err error) {
	defer p.m.catch(&err, debug.SetPanicOnFault(true))
	p.stats.Dropped++
	p.count(psDropped, 1)
	return nil
}

// Position is that of the next record, in bytes.
func (p *Producer) Position() uint64 { return p.tail }

// Sequence is the number of records published in the epoch.
func (p *Producer) Sequence() uint64 { return p.seq }

// Epoch is the ring's.
func (p *Producer) Epoch() uint64 { return p.epoch }

// Config is the ring's geometry.
func (p *Producer) Config() Config { return p.config }

// Stats are the producer's own counts.
func (p *Producer) Stats() ProducerStats {
	s := p.stats
	s.HeldNanos = p.heldNanos
	return s
}

// Close drops an open record and unmaps. The attachment itself ends with Detach
// or, for a process that dies, with its exit.
func (p *Producer) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	return p.m.unmap()
}
