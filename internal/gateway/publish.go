package gateway

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

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
	g   *Gateway
	key publishKey
	place
	conn     *conn // nil while it is parked
	stream   uint16
	remote   string
	tls      bool // its connection has it, or had
	since    time.Time
	producer *shmring.Producer
	journal  *journal
	entry    int // of the journal

	unpack     shmring.Unpacker
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
	p.conn, p.stream, p.tls, p.remote, p.since = c, o.Stream, c.tls, c.sock.remote(), time.Now()
	if c.publishers == nil {
		c.publishers = map[uint16]*publisher{}
	}
	c.publishers[o.Stream] = p
	c.g.hurry()
	c.g.log.Info("another host produces to a ring", append(p.fields(), zap.Bool("resumed", resumed), zap.Uint64("published", p.published.Sequence))...)
	return nil
}

// newPublisher attaches a producer. known: the ring's journal knows the session.
func (g *Gateway) newPublisher(key publishKey, o wire.LinkOpenFrame) (_ *publisher, known bool, err error) {
	name, err := attachmentName(identity{name: key.who}, o)
	if err != nil {
		return nil, false, err
	}
	in := wire.AttachIn{Ring: o.Ring, Role: wire.RoleProducer, Name: name}
	if o.Epoch != 0 {
		in.Epoch = &o.Epoch
	}
	lease, at, err := g.attach(in, anybody)
	if errors.Is(err, wire.ErrSlotsExhausted) && g.dropParkedPublisher(o.Ring) {
		lease, at, err = g.attach(in, anybody)
	}
	if err != nil {
		return nil, false, err
	}
	p := &publisher{g: g, key: key, place: at, since: time.Now()}
	if p.producer, err = openProducer(lease); err == nil {
		p.journal, err = g.journalOf(p.ring)
	}
	if err != nil {
		p.detach()
		return nil, false, err
	}
	config := p.producer.Config()
	p.unpack = shmring.NewUnpacker(config.Key, config.RecordMax)
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
	return p.failed == nil && p.g.ended(p.place) == nil
}
