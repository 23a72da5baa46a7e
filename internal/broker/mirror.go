package broker

import (
	"fmt"
	"os"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// MirrorSpec is what CreateMirror takes.
type MirrorSpec struct {
	Name string // the ring here
	Peer string // the brokerd that has the origin
	Ring string // the origin's name there

	Config       shmring.Config   // of the origin: its geometry, flags, epoch and key; ConsumersMax and Mirror are not looked at
	Start        shmring.Boundary // where the mirror begins
	ConsumersMax int              // 0 for the default, 16
	ResumeForNS  int64
	Allow        wire.Allow
}

// CreateMirror makes a ring for the records of a ring of another host, with the
// origin's geometry, epoch and key, so that its bytes can be taken over as they
// are. It counts as the daemon's own against the limits. Where the mirror is there
// already, its live keys become those of s and it is returned; s.Start is not
// looked at then.
//
// Refusals are *wire.Error: EpochChanged when what is there mirrors an earlier or
// other make of the origin, and has to be removed first; RingExists when the name
// is that of another ring or mirror; RingCorrupt; otherwise as CreateRing.
func (b *Broker) CreateMirror(s MirrorSpec) (wire.Ring, error) {
	info, err := s.normalize()
	if err != nil {
		return wire.Ring{}, err
	}
	info.Owner = b.ownerUID
	if have, ok, err := b.mirrorAgain(info, s.Config.Key); ok || err != nil {
		return have, err
	}
	return b.create(info, origin{key: s.Config.Key, start: s.Start}, false)
}

// normalize makes a ring of a spec, whose numbers another host has sent.
func (s MirrorSpec) normalize() (wire.Ring, error) {
	if !wire.ValidName(s.Peer) || !wire.ValidName(s.Ring) {
		return wire.Ring{}, invalidKey(s.Name, "mirror", quoted(s.Ring)+" of "+quoted(s.Peer), "the names of a ring and a peer")
	}
	spec := wire.RingSpec{
		Name:        s.Name,
		Capacity:    s.Config.Capacity,
		RecordMax:   new(uint64(s.Config.RecordMax)),
		Producers:   wire.ProducersOne,
		Timestamps:  &s.Config.Timestamps,
		Checksum:    s.Config.Checksum,
		ResumeForNS: &s.ResumeForNS,
		Allow:       &s.Allow,
	}
	if s.Config.Many {
		spec.Producers = wire.ProducersMany
	}
	if s.ConsumersMax != 0 {
		spec.ConsumersMax = &s.ConsumersMax
	}
	info, err := normalize(spec)
	if err != nil {
		return wire.Ring{}, err
	}
	info.Epoch, info.Mirror = s.Config.Epoch, &wire.MirrorOf{Peer: s.Peer, Ring: s.Ring}
	config := geometry(info)
	if config.Key = s.Config.Key; config.Key == 0 {
		return wire.Ring{}, invalidKey(s.Name, "key", "0", "the key of the origin")
	}
	if err := config.Validate(); err != nil {
		return wire.Ring{}, wire.InvalidRing("mirror", "ring %s: ring %s of %s cannot be mirrored: %v", s.Name, s.Ring, s.Peer, err)
	}
	return info, nil
}

// mirrorAgain takes the live keys of a mirror that is there; ok is false when no
// ring has that name.
func (b *Broker) mirrorAgain(want wire.Ring, key uint64) (have wire.Ring, ok bool, err error) {
	b.mu.Lock()
	defer b.unlock()
	r := b.rings[want.Name]
	switch {
	case b.closed:
		return wire.Ring{}, false, ErrClosed
	case r == nil:
		return wire.Ring{}, false, nil
	case r.info.Mirror == nil || *r.info.Mirror != *want.Mirror:
		return wire.Ring{}, false, refuseMirrorName(r.describe(), *want.Mirror)
	case r.retired != nil:
		return wire.Ring{}, false, refuseCorrupt(r)
	case !r.mirrors(want, key):
		return wire.Ring{}, false, refuseOtherOrigin(r.info, want.Epoch)
	}
	if err := b.describeAs(want); err != nil {
		return wire.Ring{}, false, fmt.Errorf("mirror %s: %w", want.Name, err)
	}
	b.updated(r, b.adjust(r, want))
	return r.describe(), true, nil
}

// mirrors tells whether a mirror has what another make of its origin would not.
// How many readers it takes is its own affair.
func (r *ring) mirrors(want wire.Ring, key uint64) bool {
	theirs := geometry(want)
	theirs.Key, theirs.ConsumersMax = key, r.info.ConsumersMax
	return r.mem.Config() == theirs
}

// OpenMirror opens a mirror to be written to: one writer at a time, which the
// caller answers for and closes. From here on the mirror is in use, and is not
// removed without force; ReleaseMirror ends that. When it is removed all the same,
// the writer meets shmring.ErrRemoved. Refusals are *wire.Error: RingNotFound,
// RingCorrupt, and InvalidRing for a ring that is no mirror.
func (b *Broker) OpenMirror(name string) (*shmring.Mirror, error) {
	r, data, cursors, err := b.lendMirror(name)
	if err != nil {
		return nil, err
	}
	m, err := shmring.OpenMirror(data, cursors, shmring.MirrorOptions{Populate: true}) // closes the files; may clean up a good deal of memory
	b.mu.Lock()
	defer b.unlock()
	switch still := b.rings[name] == r; {
	case err != nil && still:
		err = fmt.Errorf("open mirror %s: %w", name, b.judge(r, err))
		return nil, b.scarce(err, "open mirror "+name, 0, 0)
	case err != nil:
		return nil, fmt.Errorf("open mirror %s: %w", name, err)
	case still:
		r.written = true
	}
	return m, nil
}

func (b *Broker) lendMirror(name string) (r *ring, data *os.File, cursors []*os.File, err error) {
	b.mu.Lock()
	defer b.unlock()
	if r, err = b.ringNamed(name); err != nil {
		return nil, nil, nil, err
	}
	switch {
	case r.info.Mirror == nil:
		return nil, nil, nil, invalidKey(name, "mirror", "absent", "a ring that mirrors another one")
	case r.retired != nil:
		return nil, nil, nil, refuseCorrupt(r)
	}
	if data, cursors, err = r.mem.LendProducer(); err != nil {
		return nil, nil, nil, b.scarce(b.lendFailed(r, err), "open mirror "+name, 0, 0)
	}
	return r, data, cursors, nil
}

// ReleaseMirror says that nobody writes to a mirror any more, nor will soon. It
// stays, with what it holds, until somebody removes it. Unknown names are none.
func (b *Broker) ReleaseMirror(name string) {
	b.mu.Lock()
	defer b.unlock()
	if r := b.rings[name]; r != nil {
		r.written = false
	}
}
