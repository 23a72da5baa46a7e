package gateway

import (
	"errors"
	"fmt"
	"time"

	"brokerd/internal/broker"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// How readers for other hosts are attached, and where they start.

// lend attaches a reader for o, if who may have it.
func (g *Gateway) lend(who identity, o wire.LinkOpenFrame) (*export, error) {
	if err := g.settings.mayRead(who, o.Ring, ""); err != nil {
		return nil, err
	}
	name, err := attachmentName(who, o)
	if err != nil {
		return nil, err
	}
	in := wire.AttachIn{
		Ring: o.Ring, Role: wire.RoleConsumer, Name: name,
		Resume: o.Label != "" && (o.From == wire.LinkFromResume || o.From == wire.LinkFromHeld),
	}
	if o.Policy != 0 {
		in.Policy = policyOf(o, wire.Ring{})
	}
	if o.Epoch != 0 && o.Mode == wire.LinkRead {
		in.Epoch = &o.Epoch // a mirror is told of another epoch by its stream instead
	}
	authorize := func(r wire.Ring) error {
		if o.Mode == wire.LinkMirror && r.Mirror != nil {
			return &denial{wire.CodeMirrorOfMirror, fmt.Sprintf("ring %s is itself a mirror, of ring %s of %s: mirror that one", r.Name, r.Mirror.Ring, r.Mirror.Peer)}
		}
		return g.settings.mayRead(who, o.Ring, policyOf(o, r))
	}
	lease, at, err := g.attach(in, authorize)
	if errors.Is(err, wire.ErrSlotsExhausted) {
		if p := g.takeParked(who, o.Mode, o.Ring); p != nil {
			g.release(p, "its slot is needed for its successor")
			lease, at, err = g.attach(in, authorize)
		}
	}
	if err != nil {
		return nil, err
	}
	return g.openReader(who, o, lease, at)
}

// policyOf is the policy that o asks for, the ring's where it leaves that open.
func policyOf(o wire.LinkOpenFrame, r wire.Ring) wire.Policy {
	if o.Policy == 0 {
		return r.Policy
	}
	return wire.Policy(shmring.Policy(o.Policy).String())
}

// attachmentName is what brokerctl shows a link as, and what a cursor is kept
// under: a label is never cut, it would come to mean another.
func attachmentName(who identity, o wire.LinkOpenFrame) (string, error) {
	name := "link." + who.name
	if o.Mode != wire.LinkMirror {
		name = who.name
		if o.Label != "" {
			name += "." + o.Label
		}
	}
	if len(name) > wire.NameBytesMax && o.Label != "" {
		return "", &denial{wire.CodeProtocol, fmt.Sprintf("the label %s is too long: together with the name of the peer, %s, it may have %d bytes", o.Label, who.name, wire.NameBytesMax-1)}
	}
	return name[:min(len(name), wire.NameBytesMax)], nil
}

func (g *Gateway) openReader(who identity, o wire.LinkOpenFrame, lease broker.Lease, at place) (_ *export, err error) {
	x := &export{
		place: at, who: who, mode: o.Mode, label: o.Label, keeps: o.Label != "" && at.ring.ResumeForNS > 0, since: time.Now(),
	}
	x.reader, err = openConsumer(lease, shmring.ConsumerOptions{From: startOf(o, lease.Out), KeepCursor: x.keeps, Spans: true})
	x.watch.reader, x.watch.news = x.reader, x.news
	var gone *shmring.PositionError
	if errors.As(err, &gone) && o.From == wire.LinkFromHeld && gone.Wanted < gone.Oldest {
		return g.lendOldest(who, o, x) // what lies between becomes a gap
	}
	if err == nil && o.From == wire.LinkFromHeld && o.Epoch == x.ring.Epoch {
		if err = advance(x.reader, o.Position); err != nil {
			_ = x.reader.Close()
		}
	}
	if err != nil {
		g.detach(x.place, false)
		return nil, err
	}
	return x, nil
}

// advance lets a reader that stands at its cursor go on to what its client holds
// already, which is somewhat further.
func advance(c *shmring.Consumer, held uint64) error {
	for at := c.EndBoundary(); at.Position < held; at = c.EndBoundary() {
		if _, err := c.NextSpan(int(held - at.Position)); err != nil {
			return &denial{wire.CodePosition, fmt.Sprintf("position %d is held by the client, and the ring ends at %d", held, at.Position)}
		}
	}
	return c.Release(c.EndBoundary())
}

// lendOldest is for a peer that comes back too late for where it was: the slot
// that was to read from there reads from the oldest record.
func (g *Gateway) lendOldest(who identity, o wire.LinkOpenFrame, x *export) (*export, error) {
	g.detach(x.place, false)
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
	case out.Resumed: // what the cursor holds is there for sure; see advance
		return shmring.FromResume()
	case o.From == wire.LinkFromPosition, o.From == wire.LinkFromHeld && o.Epoch == out.Ring.Epoch:
		return shmring.FromPosition(o.Position)
	}
	return shmring.FromOldest()
}
