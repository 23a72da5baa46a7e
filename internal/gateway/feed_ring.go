package gateway

import (
	"errors"
	"os"

	"brokerd/internal/broker"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// place is an attachment that a feed holds, in the name of this process.
type place struct {
	ring wire.Ring
	id   string
	slot int
	role wire.Role
}

// errRingGone: the ring of a feed was removed, or the feed's attachment ended.
var errRingGone = errors.New("no longer attached")

// attach takes a slot of the feed's ring.
func (f *feed) attach(role wire.Role) (broker.Lease, place, error) {
	in := wire.AttachIn{Ring: f.want.Ring, Role: role, Name: f.attachmentName()}
	if role == wire.RoleConsumer {
		in.WaitStrategy, in.NoMembarrier = wire.WaitPark, !shmring.HasMembarrier()
	}
	lease, err := f.g.broker.Attach(broker.AttachRequest{
		Conn: broker.GatewayConn, Process: f.g.self, UID: uint32(os.Geteuid()), In: in, Authorize: func(wire.Ring) error { return nil },
	})
	if err != nil {
		return broker.Lease{}, place{}, err
	}
	a := lease.Out.Attachment
	f.g.giveWay(a)
	f.g.hurry() // somebody has to look after it
	return lease, place{ring: lease.Out.Ring, id: a.ID, slot: a.Slot, role: role}, nil
}

func (f *feed) attachmentName() string {
	name := "feed." + f.want.Name
	return name[:min(len(name), wire.NameBytesMax)]
}

// detach gives an attachment back.
func (f *feed) detach(p place) {
	if p.ring.ResumeForNS > 0 {
		f.g.tolerate(p.id, f.g.broker.Evict(p.id, "the feed is over")) // leaves no cursor that would hold the ring
	}
	f.g.tolerate(p.id, f.g.broker.Detach(p.id, func(wire.Attachment, uint64) error { return nil }))
}

// ended says why a place is not ours any more, nil while it is.
func (f *feed) ended(p place) error {
	a, ok := f.g.attachment(p.ring.Name, p.id)
	switch {
	case !ok || a.Epoch != p.ring.Epoch:
		return &ringGone{p.ring.Name, "it was removed", shmring.ErrRemoved}
	case a.State != wire.StateAttached:
		return &ringGone{p.ring.Name, a.EndedReason, shmring.ErrDetached}
	}
	return nil
}

// ringGone is errRingGone in words.
type ringGone struct {
	ring, why string
	cause     error // ErrRemoved or ErrDetached
}

func (e *ringGone) Error() string {
	return "ring " + e.ring + ": " + errRingGone.Error() + ": " + e.why
}
func (e *ringGone) Unwrap() []error { return []error{errRingGone, e.cause} }

// attached says whether the feed holds a place in its ring.
func (f *feed) attached() bool { return f.in != nil || f.out != nil || len(f.conns) > 0 }

// sweep ends what the feed does with a ring that is gone, or where its attachment
// was ended: a connection over which nothing comes would not notice.
func (f *feed) sweep() { f.evicted(f.ended) }

// giveWay ends what still uses the slot of a new attachment: the former one was
// ended, and the broker has given the slot again before we have noticed.
func (f *feed) giveWay(a wire.Attachment) {
	f.evicted(func(p place) error {
		if p.ring.Name == a.Ring && p.slot == a.Slot && p.role == a.Role && p.id != a.ID {
			return &ringGone{a.Ring, "its slot was given to another", shmring.ErrDetached}
		}
		return nil
	})
}

// evicted closes the connections whose place is gone, and forgets the places.
func (f *feed) evicted(why func(place) error) {
	if f.in != nil {
		if err := why(f.in.place); err != nil {
			f.loseWriter(err)
		}
	}
	for s, made := range f.conns {
		if o, ok := made.(*outlet); ok {
			if err := why(o.r.place); err != nil {
				o.quit = err
				s.close(err)
			}
		}
	}
	if f.out != nil && len(f.conns) == 0 {
		if err := why(f.out.place); err != nil {
			f.loseReader(err)
		}
	}
}

// loseWriter ends every connection of a feed that cannot publish any more: the
// next one attaches anew.
func (f *feed) loseWriter(cause error) {
	for s := range f.conns {
		s.close(cause)
	}
	f.dropWriter()
}

func (f *feed) dropWriter() {
	if f.in != nil {
		f.in.close()
		f.in = nil
	}
}

// loseReader forgets the reader of a feed that dials, and counts what it had read
// and not handed on. A ring that was made anew is read from its first record on.
func (f *feed) loseReader(cause error) {
	f.dropped += uint64(f.out.rewind())
	f.fromOldest = errors.Is(cause, shmring.ErrRemoved)
	f.out.close()
	f.out = nil
}
