package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"brokerd/internal/broker"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// export is a reader of a ring of ours for another host: its records go to a
// mirror there, or to a remote client. It is an attachment like any other, held by
// this process, so that whoever looks at the ring sees it, and an administrator
// can end it.
type export struct {
	conn   *conn // nil while parked
	stream uint16
	who    identity
	mode   wire.LinkMode
	label  string
	ring   wire.Ring
	id     string
	slot   int
	policy wire.Policy
	reader *shmring.Consumer
	keeps  bool // the reader leaves its cursor, to be resumed
	watch  watched

	remote     string
	since      time.Time
	reason     string           // why it is parked
	acked      shmring.Boundary // while parked
	reconnects uint64
	gaps       uint64 // of earlier streams
	gapRecords uint64
	gapsSeen   uint64 // of this one, that were logged
	moved      moved
}

// openExport answers who wants to mirror or read a ring.
func (c *conn) openExport(o wire.LinkOpenFrame) error {
	if o.Mode == wire.LinkMirror {
		c.supersedeMirror(o.Ring)
	}
	x := c.g.resumeParked(c.who, o)
	resumed := x != nil
	if !resumed {
		var err error
		if x, err = c.g.lend(c.who, o); err != nil {
			return err
		}
	}
	if err := c.link.Serve(o.Stream, x.opened(), x.reader); err != nil {
		c.g.release(x, err.Error())
		return &denial{wire.CodePosition, err.Error()}
	}
	x.conn, x.stream, x.remote, x.since, x.reason = c, o.Stream, c.sock.remote(), time.Now(), ""
	if c.exports == nil {
		c.exports = map[uint16]*export{}
	}
	c.exports[o.Stream] = x
	if p := c.g.takeParked(x); p != nil { // it could not go on from there
		x.reconnects, x.gaps, x.gapRecords, x.moved = p.reconnects+1, p.gaps, p.gapRecords, p.moved
		c.g.release(p, "its peer is back and starts elsewhere")
	}
	c.g.log.Info("a ring is read by another host", append(x.fields(), zap.String("mode", o.Mode.String()), zap.String("policy", string(x.policy)),
		zap.Bool("resumed", resumed), zap.Uint64("position", x.reader.EndBoundary().Position))...)
	return nil
}

// lend attaches a reader for o, if who may have it.
func (g *Gateway) lend(who identity, o wire.LinkOpenFrame) (*export, error) {
	if err := g.settings.mayRead(who, o.Ring, ""); err != nil {
		return nil, err
	}
	q := broker.AttachRequest{
		Conn: broker.GatewayConn, Process: g.self, UID: uint32(os.Geteuid()),
		In: wire.AttachIn{
			Ring: o.Ring, Role: wire.RoleConsumer, Name: attachmentName(who, o), WaitStrategy: wire.WaitPark,
			Resume: o.From == wire.LinkFromResume && o.Label != "", NoMembarrier: !shmring.HasMembarrier(),
		},
		Authorize: func(r wire.Ring) error {
			policy := policyOf(o, r)
			if o.Mode == wire.LinkMirror && r.Mirror != nil {
				return &denial{wire.CodeMirrorOfMirror, fmt.Sprintf("ring %s is itself a mirror, of ring %s of %s: mirror that one", r.Name, r.Mirror.Ring, r.Mirror.Peer)}
			}
			return g.settings.mayRead(who, o.Ring, policy)
		},
	}
	if o.Policy != 0 {
		q.In.Policy = policyOf(o, wire.Ring{})
	}
	if o.Epoch != 0 && o.Mode == wire.LinkRead {
		q.In.Epoch = &o.Epoch // a mirror is told of another epoch by its stream instead
	}
	lease, err := g.broker.Attach(q)
	if errors.Is(err, wire.ErrSlotsExhausted) {
		if p := g.takeParked(&export{who: who, mode: o.Mode, ring: wire.Ring{Name: o.Ring}}); p != nil {
			g.release(p, "its slot is needed for its successor")
			lease, err = g.broker.Attach(q)
		}
	}
	if err != nil {
		return nil, err
	}
	return g.openReader(who, o, lease)
}

// policyOf is the policy that o asks for, the ring's where it leaves that open.
func policyOf(o wire.LinkOpenFrame, r wire.Ring) wire.Policy {
	if o.Policy == 0 {
		return r.Policy
	}
	return wire.Policy(shmring.Policy(o.Policy).String())
}

// attachmentName is what brokerctl shows a link as.
func attachmentName(who identity, o wire.LinkOpenFrame) string {
	name := "link." + who.name
	if o.Mode != wire.LinkMirror {
		name = who.name
		if o.Label != "" {
			name += "." + o.Label
		}
	}
	return name[:min(len(name), wire.NameBytesMax)]
}

func (g *Gateway) openReader(who identity, o wire.LinkOpenFrame, lease broker.Lease) (*export, error) {
	a := lease.Out.Attachment
	g.giveWay(a)
	x := &export{
		who: who, mode: o.Mode, label: o.Label, ring: lease.Out.Ring, id: a.ID, slot: a.Slot, policy: a.Policy,
		keeps: o.Label != "" && lease.Out.Ring.ResumeForNS > 0, since: time.Now(),
	}
	policy, err := shmring.ParsePolicy(string(a.Policy))
	if err == nil {
		x.reader, err = shmring.OpenConsumer(lease.Files[lease.Out.Files.Data], lease.Files[lease.Out.Files.Cursors[0]], shmring.ConsumerOptions{
			Slot: a.Slot, Generation: a.Generation, Policy: policy, Wait: shmring.WaitPark,
			From: startOf(o, lease.Out), KeepCursor: x.keeps, Spans: true,
		})
		x.watch.reader, x.watch.news = x.reader, x.news
	}
	var gone *shmring.PositionError
	if errors.As(err, &gone) && o.From == wire.LinkFromHeld && gone.Wanted < gone.Oldest {
		return g.lendOldest(who, o, x) // what lies between becomes a gap
	}
	if err != nil {
		g.detach(x, false)
		return nil, err
	}
	return x, nil
}

// lendOldest is for a peer that comes back too late for where it was: the slot
// that was to read from there reads from the oldest record.
func (g *Gateway) lendOldest(who identity, o wire.LinkOpenFrame, x *export) (*export, error) {
	g.detach(x, false)
	held := shmring.Boundary{Position: o.Position, Sequence: o.Sequence}
	o.From = wire.LinkFromOldest
	x, err := g.lend(who, o)
	if err == nil && x.reader.EndBoundary().Position < held.Position {
		g.release(x, "its peer is ahead of it")
		return nil, &denial{wire.CodePosition, fmt.Sprintf("position %d of ring %s is not where a record starts", held.Position, o.Ring)}
	}
	return x, err
}

// startOf is where a reader starts. One that holds records of another epoch, and
// one whose cursor is gone, gets all there is.
func startOf(o wire.LinkOpenFrame, out wire.AttachOut) shmring.Start {
	switch {
	case o.From == wire.LinkFromLatest:
		return shmring.FromLatest()
	case o.From == wire.LinkFromPosition, o.From == wire.LinkFromHeld && o.Epoch == out.Ring.Epoch:
		return shmring.FromPosition(o.Position)
	case out.Resumed:
		return shmring.FromResume()
	}
	return shmring.FromOldest()
}

// opened describes the ring to the other side; the link adds where it starts.
func (x *export) opened() wire.LinkOpenedFrame {
	o := openedFor(x.reader.Config(), x.ring, x.id)
	o.Resumed = x.reader.Resumed()
	if policy, err := shmring.ParsePolicy(string(x.policy)); err == nil {
		o.Policy = uint8(policy)
	}
	return o
}

func openedFor(c shmring.Config, ring wire.Ring, id string) wire.LinkOpenedFrame {
	ring.Allow = wire.Allow{} // the users of this host are nobody else's business
	described, err := json.Marshal(ring)
	if err != nil || len(described) > wire.LinkRingBytesMax {
		described = nil
	}
	return wire.LinkOpenedFrame{
		Many: c.Many, Timestamps: c.Timestamps, Checksum: c.Checksum,
		RecordMax: c.RecordMax, Capacity: c.Capacity, Key: c.Key, Epoch: c.Epoch, ID: id, Ring: string(described),
	}
}

func (x *export) fields() []zap.Field {
	return []zap.Field{zap.String("peer", x.who.name), zap.String("address", x.remote), zap.String("ring", x.ring.Name), zap.String("id", x.id)}
}

// release ends an export. why is for the log, "" for no line.
func (g *Gateway) release(x *export, why string) {
	x.watch.leave()
	_ = x.reader.Close() // the attachment ends next, whatever this says
	g.detach(x, x.keeps)
	if why != "" {
		g.log.Info("a ring is no longer read by another host", append(x.fields(), zap.String("reason", why))...)
	}
}

// detach ends the attachment. A named reader of a ring with resume_for would
// leave a cursor that holds the ring: only a remote client's is kept.
func (g *Gateway) detach(x *export, keep bool) {
	if x.ring.ResumeForNS > 0 && !keep {
		g.tolerate(x.id, g.broker.Evict(x.id, "the link is over"))
	}
	g.tolerate(x.id, g.broker.Detach(x.id, func(wire.Attachment, uint64) error { return nil }))
}

// tolerate logs what keeps an attachment from being ended; that it has ended
// before, with its ring for one, is nothing.
func (g *Gateway) tolerate(id string, err error) {
	if err != nil && !errors.Is(err, wire.ErrAttachmentNotFound) && !errors.Is(err, broker.ErrClosed) {
		g.log.Error("cannot end an attachment of the gateway", zap.String("id", id), zap.Error(err))
	}
}

// giveWay ends whatever of ours still uses the slot of a new attachment: an
// administrator has ended it, and the broker has given the slot again, before we
// have noticed.
func (g *Gateway) giveWay(a wire.Attachment) {
	same := func(ring string, slot int) bool { return ring == a.Ring && slot == a.Slot }
	for c := range g.conns {
		for stream, x := range c.exports {
			if a.Role == wire.RoleConsumer && same(x.ring.Name, x.slot) {
				c.link.End(stream, wire.LinkEndFrame{Code: wire.CodeDetached, Message: shmring.ErrDetached.Error()})
				c.sock.retick() // which sends it
				delete(c.exports, stream)
				g.release(x, "an administrator ended it")
			}
		}
	}
	for _, x := range slices.Clone(g.parked) {
		if a.Role == wire.RoleConsumer && same(x.ring.Name, x.slot) {
			g.unpark(x, "an administrator ended it")
		}
	}
	for _, p := range g.publishers {
		if a.Role == wire.RoleProducer && same(p.key.ring, p.slot) {
			p.end(shmring.ErrDetached)
		}
	}
}
