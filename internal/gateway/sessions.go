package gateway

import (
	"errors"

	"go.uber.org/zap"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// What becomes of publishers when their connection, their stream or their right
// ends, and the journals that they share.

func (p *publisher) fields() []zap.Field {
	return []zap.Field{zap.String("peer", p.key.who), zap.String("address", p.remote), zap.String("ring", p.ring.Name),
		zap.String("label", p.key.label), zap.String("id", p.id)}
}

// park keeps the producer slot for a while after the connection is gone. What has
// come and is not in the ring was not acknowledged: the session sends it again.
func (p *publisher) park(now int64) {
	p.conn, p.stream, p.placed, p.queue, p.pause = nil, 0, nil, nil, 0
	p.received = p.published
	p.parkedAt = now
	if p.g.ending || p.failed != nil {
		p.close()
		return
	}
	p.g.hurry()
}

// dropParkedPublisher gives the slot of a publisher back whose connection is gone,
// the one that is gone for longest; false when there is none. The ring's journal
// knows its session still.
func (g *Gateway) dropParkedPublisher(ring string) bool {
	var first *publisher
	for _, p := range g.publishers {
		if p.key.ring == ring && p.conn == nil && (first == nil || p.parkedAt < first.parkedAt) {
			first = p
		}
	}
	if first == nil {
		return false
	}
	first.finish("its slot is needed for another one")
	return true
}

// finish is the end of the stream.
func (p *publisher) finish(why string) {
	p.drain() // what has come may as well be there
	p.g.log.Info("another host no longer produces to a ring", append(p.fields(), zap.String("reason", why), zap.Uint64("published", p.published.Sequence))...)
	p.close()
}

// end is for a publisher whose right or slot is gone.
func (p *publisher) end(why error) {
	if p.conn != nil {
		end := ending(why)
		end.Stream = p.stream
		p.conn.link.End(p.stream, end)
		p.conn.sock.retick() // which sends it
		delete(p.conn.publishers, p.stream)
	}
	p.finish(why.Error())
}

// close gives everything back.
func (p *publisher) close() {
	if p.g.publishers[p.key] == p {
		delete(p.g.publishers, p.key)
	}
	p.conn = nil
	p.detach()
}

func (p *publisher) detach() {
	if p.journal != nil {
		if p.entry >= 0 {
			p.journal.Leave(p.entry)
		}
		p.g.leaveJournal(p.journal)
		p.journal = nil
	}
	if p.producer != nil {
		_ = p.producer.Close() // the attachment ends next, whatever this says
	}
	p.g.detach(p.place, false)
}

// sweepPublishers ends those that nobody came back for, and those of rings or
// attachments that are gone while nothing is published.
func (g *Gateway) sweepPublishers(now int64) {
	for _, p := range g.publishers {
		switch {
		case p.conn == nil && now-p.parkedAt >= publisherParkMax.Nanoseconds():
			p.finish("it did not come back in time")
		case p.attached():
		case p.conn == nil:
			p.close()
		case errors.Is(g.ended(p.place), shmring.ErrRemoved):
			p.end(shmring.ErrRemoved)
		default:
			p.end(shmring.ErrDetached)
		}
	}
}

// journal is that of one ring, shared by all who publish into it.
type journal struct {
	*shmring.Journal
	key   journalKey
	users int
}

type journalKey struct {
	ring  string
	epoch uint64
}

func (g *Gateway) journalOf(ring wire.Ring) (*journal, error) {
	key := journalKey{ring.Name, ring.Epoch}
	j := g.journals[key]
	if j == nil {
		opened, err := g.broker.Journal(ring.Name)
		if err != nil {
			return nil, err
		}
		j = &journal{Journal: opened, key: key}
		g.journals[key] = j
	}
	j.users++
	return j, nil
}

func (g *Gateway) leaveJournal(j *journal) {
	if j.users--; j.users > 0 {
		return
	}
	delete(g.journals, j.key)
	if err := j.Close(); err != nil && !errors.Is(err, shmring.ErrFault) {
		g.log.Error("cannot close the journal of a ring", zap.String("ring", j.key.ring), zap.Error(err))
	}
}
