package gateway

import (
	"errors"

	"brokerd/internal/broker"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// attach takes a slot of the feed's ring.
func (f *feed) attach(role wire.Role) (broker.Lease, place, error) {
	f.g.hurry() // somebody has to look after it
	return f.g.attach(wire.AttachIn{Ring: f.want.Ring, Role: role, Name: f.attachmentName()}, anybody)
}

func (f *feed) attachmentName() string {
	name := "feed." + f.want.Name
	return name[:min(len(name), wire.NameBytesMax)]
}

// attached says whether the feed holds a place in its ring.
func (f *feed) attached() bool { return f.in != nil || f.out != nil || len(f.conns) > 0 }

// sweep ends what the feed does with a ring that is gone, or where its attachment
// was ended: a connection over which nothing comes would not notice.
func (f *feed) sweep() { f.evicted(f.g.ended) }

// giveWay ends what still uses the slot of a new attachment: the former one was
// ended, and the broker has given the slot again before we have noticed.
func (f *feed) giveWay(a wire.Attachment) {
	f.evicted(func(p place) error {
		if p.hasSlotOf(a) {
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
