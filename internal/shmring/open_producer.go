package shmring

import (
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
	Tag        uint16 // of the records, until SetTag
}

// ProducerStats count since the attachment began.
type ProducerStats struct {
	Records, Bytes uint64 // published; payload bytes
	Dropped        uint64 // discarded by OnFullDrop
	HeldNanos      uint64 // waited for readers
}

// Producer writes a ring, alone or with others (Config.Many). It is used by one goroutine at a time; after Close no
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
	tag    uint16
}

// OpenProducer maps what the daemon lent, data read-write and all cursor pages
// read-only, and finds the end of what was published before. It closes the
// files in every case. Errors: ErrVersion, ErrCorrupt, ErrFault, ErrRemoved.
func OpenProducer(data *os.File, cursors []*os.File, o ProducerOptions) (p *Producer, err error) {
	defer func() {
		err = errors.Join(err, data.Close())
		for _, f := range cursors {
			err = errors.Join(err, f.Close())
		}
	}()
	config, err := lentHeader(data)
	if err != nil {
		return nil, err
	}
	if config.Mirror {
		return nil, errors.New("the ring is a mirror: only what comes from its origin is written to it")
	}
	if o.Slot < 0 || o.Slot >= config.ProducersMax() {
		return nil, fmt.Errorf("producer slot %d: want 0 to %d", o.Slot, config.ProducersMax()-1)
	}
	m, err := mapForWriter(data, cursors, config)
	if err != nil {
		return nil, err
	}
	p = newProducer(m.data, m.cursors, config, o)
	p.fenced = !registerMembarrier()
	if err := p.resumeGuarded(); err != nil {
		return nil, errors.Join(err, p.m.unmap())
	}
	return p, nil
}

// mapForWriter maps data read-write and all cursor pages read-only.
func mapForWriter(data *os.File, cursors []*os.File, config Config) (m mapping, err error) {
	if len(cursors) != config.ConsumersMax {
		return m, fmt.Errorf("%d cursor pages: the ring has %d", len(cursors), config.ConsumersMax)
	}
	if m.data, err = mapFile(data, config.dataBytes(), true); err != nil {
		return m, err
	}
	for _, f := range cursors {
		page, err := mapFile(f, cursorPageBytes, false)
		if err != nil {
			return m, errors.Join(err, m.unmap())
		}
		m.cursors = append(m.cursors, page)
	}
	return m, nil
}

// newProducer sets up a Producer over bytes that are already mapped.
func newProducer(b []byte, cursors [][]byte, config Config, o ProducerOptions) *Producer {
	p := &Producer{
		producer: producer{
			ring:       ring{geometry: config.geometry(), b: b, cursors: cursors},
			slot:       o.Slot,
			many:       config.Many,
			timestamps: config.Timestamps,
		},
		config: config,
		wait:   o.Wait,
		onFull: o.OnFull,
		tag:    o.Tag,
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
// write access to the file, so only it can have truncated it. If the slot may have
// been lent again since the fault, nobody is evicted: who still has a page that
// faults is when the caller tries again.
func (p *producer) evict(slot int) {
	before, generation := p.held.seen[slot], load32(p.b, consumerEntry(slot)+csGeneration)
	p.held.seen[slot] = generation
	if before == generation {
		p.held.evicted[slot] = generation
		p.demote(slot, generation)
	}
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

// SetTag gives the records from now on another tag.
func (p *Producer) SetTag(tag uint16) { p.tag = tag }

// Position is that of the next record, in bytes; with many producers that of the
// end of its last one.
func (p *Producer) Position() uint64 { return p.tail }

// Sequence is the number of records in the epoch before Position.
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

// Close drops an open record, as Abort does, and unmaps. The attachment itself ends with Detach
// or, for a process that dies, with its exit.
func (p *Producer) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	return errors.Join(p.Abort(), p.m.unmap())
}
