package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/broker"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

const (
	// publisherParkMax is how long a remote producer that has lost its connection
	// keeps its producer slot.
	publisherParkMax = 10 * time.Second
	// publishBytesMax bounds what has come for a ring that takes nothing now;
	// two of its longest records, where that is more.
	publishBytesMax = 1 << 20
	// chunkBytesMax is what one frame may bring; one of the longest records, where
	// that is more.
	chunkBytesMax = 256 << 10
	// publishRetryMin and publishRetryMax are between two attempts to publish into
	// a ring that is full.
	publishRetryMin = time.Millisecond
	publishRetryMax = 8 * time.Millisecond
)

// publishKey names what a remote producer publishes: within its session, under
// its label, into one ring.
type publishKey struct {
	who, ring, label string
	session          [16]byte
}

// journalKey is the session in the ring's journal: nobody can take part in one of
// another peer's, and each label is one of its own.
func (k publishKey) journalKey() (key [16]byte) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%x %s %s", k.session, k.who, k.label))
	copy(key[:], sum[:])
	return key
}

// publisher republishes the records of a remote producer. It is the sink of their
// stream (link.Sink), and outlives its connection a little.
type publisher struct {
	g        *Gateway
	key      publishKey
	conn     *conn // nil while it is parked
	stream   uint16
	remote   string
	since    time.Time
	ring     wire.Ring
	id       string
	slot     int
	producer *shmring.Producer
	journal  *journal
	entry    int // of the journal

	unpack     unpacker
	placed     []byte           // the chunk that is on its way
	queue      []stretch        // what the ring does not take yet
	received   shmring.Boundary // behind what has come
	published  shmring.Boundary // behind what is in the ring
	failed     error            // publishing is over
	retryAt    int64            // while the queue is not empty
	pause      time.Duration    // between two attempts
	parkedAt   int64
	moved      moved
	reconnects uint64
}

// openPublisher answers who wants to publish into a ring.
func (c *conn) openPublisher(o wire.LinkOpenFrame) error {
	if err := c.g.settings.mayProduce(c.who, o.Ring); err != nil {
		return err
	}
	if c.session == [16]byte{} {
		return &denial{wire.CodeProtocol, "a connection without a session cannot produce: its records could be doubled"}
	}
	key := publishKey{c.who.name, o.Ring, o.Label, c.session}
	p := c.g.publishers[key]
	switch {
	case p != nil && p.conn != nil:
		return &denial{wire.CodeBusy, fmt.Sprintf("ring %s: this session produces to it already under the label %q: take another label", o.Ring, o.Label)}
	case p != nil && (o.Epoch != 0 && o.Epoch != p.ring.Epoch || !p.attached()):
		p.close()
		p = nil
	}
	resumed := p != nil
	if p == nil {
		var err error
		if p, resumed, err = c.g.newPublisher(key, o); err != nil {
			return err
		}
	} else {
		p.reconnects++
	}
	opened := openedFor(p.producer.Config(), p.ring, p.id)
	opened.Position, opened.Sequence, opened.Resumed = p.published.Position, p.published.Sequence, resumed
	if err := c.link.Take(o.Stream, opened, p); err != nil {
		p.close()
		return err
	}
	p.conn, p.stream, p.remote, p.since = c, o.Stream, c.sock.remote(), time.Now()
	if c.publishers == nil {
		c.publishers = map[uint16]*publisher{}
	}
	c.publishers[o.Stream] = p
	c.g.log.Info("another host produces to a ring", append(p.fields(), zap.Bool("resumed", resumed), zap.Uint64("published", p.published.Sequence))...)
	return nil
}

// newPublisher attaches a producer. known: the ring's journal knows the session.
func (g *Gateway) newPublisher(key publishKey, o wire.LinkOpenFrame) (_ *publisher, known bool, err error) {
	q := broker.AttachRequest{
		Conn: broker.GatewayConn, Process: g.self, UID: uint32(os.Geteuid()), Authorize: func(wire.Ring) error { return nil },
		In: wire.AttachIn{Ring: o.Ring, Role: wire.RoleProducer, Name: attachmentName(identity{name: key.who}, o)},
	}
	if o.Epoch != 0 {
		q.In.Epoch = &o.Epoch
	}
	lease, err := g.broker.Attach(q)
	if err != nil {
		return nil, false, err
	}
	a := lease.Out.Attachment
	g.giveWay(a)
	p := &publisher{g: g, key: key, ring: lease.Out.Ring, id: a.ID, slot: a.Slot, since: time.Now()}
	files := lease.Out.Files
	cursors := make([]*os.File, len(files.Cursors))
	for i, at := range files.Cursors {
		cursors[i] = lease.Files[at]
	}
	p.producer, err = shmring.OpenProducer(lease.Files[files.Data], cursors, shmring.ProducerOptions{
		Slot: a.Slot, Generation: a.Generation, OnFull: shmring.OnFullFail,
	})
	if err == nil {
		p.journal, err = g.journalOf(p.ring)
	}
	if err != nil {
		p.detach()
		return nil, false, err
	}
	p.unpack = newUnpacker(p.producer.Config())
	p.published = shmring.Boundary{Position: o.Position, Sequence: o.Sequence}
	if p.entry, known = p.journal.Entry(key.journalKey()); p.entry < 0 {
		p.detach()
		return nil, false, &denial{wire.CodeBusy, fmt.Sprintf("ring %s: %d remote producers have a session with it already", o.Ring, shmring.JournalSessionsMax)}
	}
	g.publishers[key] = p
	if known {
		// Its claims were settled when the ring was adopted, and since then each
		// was committed right after it was noted.
		at := p.journal.Applied(p.entry, func(uint64) bool { return true })
		if at.Position > p.published.Position {
			p.published = at
		}
	}
	p.received = p.published
	return p, known, nil
}

// attached says whether the attachment still is what it was.
func (p *publisher) attached() bool {
	a, ok := p.g.attachment(p.ring.Name, p.id)
	return ok && p.failed == nil && a.State == wire.StateAttached
}

func (p *publisher) windowBytes() uint64 { return max(publishBytesMax, 2*p.unpack.frameBytesMax()) }

// Place gives memory for a chunk.
func (p *publisher) Place(position uint64, n int) ([]byte, error) {
	if p.failed != nil {
		return nil, p.failed
	}
	if position != p.received.Position || n < recordAlign || uint64(n) > max(chunkBytesMax, p.unpack.frameBytesMax()) {
		return nil, &shmring.ChunkError{Position: position, Reason: fmt.Sprintf("%d bytes at position %d; due are at most %d at position %d",
			n, position, max(chunkBytesMax, p.unpack.frameBytesMax()), p.received.Position)}
	}
	p.placed = make([]byte, n)
	return p.placed[recordAlign:], nil
}

// Commit takes the chunk over, and publishes it as far as the ring takes it.
func (p *publisher) Commit(c shmring.Chunk) error {
	chunk := p.placed
	p.placed = nil
	if c.Bytes != len(chunk) || c.Position != p.received.Position || c.Sequence != p.received.Sequence {
		return &shmring.ChunkError{Position: c.Position, Reason: "not the chunk that was placed"}
	}
	copy(chunk, c.First[:])
	end, err := p.unpack.check(chunk, p.received)
	if err != nil {
		return err
	}
	if records := end.Sequence - p.received.Sequence; records != c.Records {
		return &shmring.ChunkError{Position: c.Position, Reason: fmt.Sprintf("holds %d records, not %d", records, c.Records)}
	}
	p.moved.in += uint64(len(chunk))
	p.queue = append(p.queue, stretch{chunk, p.received})
	p.received = end
	p.drain()
	return p.failed
}

// Jump is no part of producing: nothing that a producer has sent is lost.
func (p *publisher) Jump(to, lost uint64) error {
	return &shmring.ChunkError{Position: p.received.Position, Reason: fmt.Sprintf("a gap to position %d: a producer has none", to)}
}

// Progress tells what is in the ring, and how much more may come.
func (p *publisher) Progress() (shmring.Boundary, uint64, error) {
	p.drain()
	return p.published, p.published.Position + p.windowBytes(), p.failed
}

// drain publishes what waits, until the ring takes no more.
func (p *publisher) drain() {
	if len(p.queue) == 0 || p.failed != nil {
		return
	}
	var err error
	if fault := shmring.Guarded(func() { err = p.publishAll() }); fault != nil {
		err = fault
	}
	switch {
	case errors.Is(err, shmring.ErrFull):
		p.pause = min(max(2*p.pause, publishRetryMin), publishRetryMax)
		p.retryAt = p.g.loop.now() + p.pause.Nanoseconds()
	case err != nil:
		p.failed = err
	default:
		p.queue, p.pause = nil, 0
	}
}

func (p *publisher) publishAll() error {
	for len(p.queue) > 0 {
		s := &p.queue[0]
		for len(s.bytes) > 0 {
			part := p.unpack.part(s.bytes, s.at)
			if err := p.publish(part); err != nil {
				return err
			}
			p.pause = 0
			s.bytes, s.at = s.bytes[part.bytes:], part.after
			p.published = part.after
		}
		p.queue = p.queue[1:]
	}
	return nil
}

// publish is one part. What is to be published is noted before it is visible, so
// that it is known after a kill at any instruction whether it was. An end of
// stream has no place before it is published; a kill right behind it doubles it.
func (p *publisher) publish(part unpacked) error {
	switch part.kind {
	case kindData:
		p.producer.SetTag(part.tag)
		body, err := p.producer.Reserve(context.Background(), len(part.payload))
		if err != nil {
			return err
		}
		p.journal.Note(p.entry, p.producer.ClaimPosition(), part.after)
		copy(body, part.payload)
		return p.producer.Commit()
	case kindEnd:
		return p.producer.End(context.Background())
	}
	return nil // pads and gaps are no records
}

// publishQueued tries again for the rings that were full, and says when to next.
func (c *conn) publishQueued(now int64) (next int64) {
	next = never
	for _, p := range c.publishers {
		if len(p.queue) > 0 && now >= p.retryAt {
			p.drain()
		}
		if len(p.queue) > 0 && p.failed == nil {
			next = min(next, p.retryAt)
		}
	}
	return next
}
