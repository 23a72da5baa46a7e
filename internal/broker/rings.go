package broker

import (
	"fmt"
	"os"
	"path/filepath"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// CreateRing makes a ring, whose memory counts against the quota of owner, a uid.
// Refusals are *wire.Error: InvalidRing, RingExists, LimitExceeded, NoSpace.
func (b *Broker) CreateRing(spec wire.RingSpec, owner uint32) (wire.Ring, error) {
	info, err := normalize(spec)
	if err != nil {
		return wire.Ring{}, err
	}
	info.Owner = owner
	return b.create(info, origin{}, false)
}

// create reserves the name and the memory under the lock and builds the ring
// without it: to reserve gigabytes takes a while. A mirror has an epoch already.
func (b *Broker) create(info wire.Ring, from origin, managed bool) (wire.Ring, error) {
	b.mu.Lock()
	err := b.admitRing(info, b.use())
	var folder string
	if err == nil {
		now := b.now()
		info.CreatedNS = now.UnixNano()
		if info.Mirror == nil {
			info.Epoch = b.nextEpoch(uint64(now.UnixMicro()))
		}
		folder = buildingFolder(info)
		b.pending[folder] = reservation{name: info.Name, rings: 1, bytes: info.MemoryBytes, owner: info.Owner}
	}
	b.unlock()
	if err != nil {
		return wire.Ring{}, err
	}

	if free := hostFreeBytes(); info.MemoryBytes > free {
		b.mu.Lock()
		defer b.unlock()
		delete(b.pending, folder)
		return wire.Ring{}, b.refuse(limitHostMemory, refuseHostMemory(info.Name, b.dir, info.MemoryBytes, free))
	}
	r, err := b.build(folder, info, from)
	if err == nil {
		err = b.moveIn(r)
	}

	b.mu.Lock()
	defer b.unlock()
	delete(b.pending, folder)
	switch {
	case err != nil:
		doing := "create ring " + info.Name
		return wire.Ring{}, b.scarce(fmt.Errorf("%s: %w", doing, err), doing, info.MemoryBytes, filesOf(info))
	case b.closed: // the next daemon adopts it
		_ = r.close()
		return wire.Ring{}, ErrClosed
	}
	r.managed = managed
	b.rings[info.Name] = r
	b.raise(Event{Kind: EventCreated, Ring: info.Name, Detail: fmt.Sprintf("%d bytes", info.MemoryBytes)})
	return r.describe(), nil
}

// nextEpoch is the time in microseconds, made to grow: it fits the 53 bits that
// a JSON number has in many languages, and no two rings of this daemon share
// one, whatever the clock does.
func (b *Broker) nextEpoch(micros uint64) uint64 {
	b.lastEpoch = max(micros, b.lastEpoch+1)
	return b.lastEpoch
}

// RemoveRing deletes a ring and everything in it. While attachments are honoured,
// or a gateway writes to it, it is refused (wire.ErrRingInUse) unless force is set;
// then those attached, and the gateway, learn from the ring that it is gone.
func (b *Broker) RemoveRing(name string, force bool) error {
	b.mu.Lock()
	r, err := b.ringNamed(name)
	if err == nil {
		switch n := r.honoured(wire.RoleConsumer) + r.honoured(wire.RoleProducer); {
		case force:
		case r.written:
			err = refuseMirrorInUse(r.info, n)
		case n > 0:
			err = refuseInUse(name, n)
		}
	}
	var grave string
	if err == nil {
		grave, err = b.takeOut(r)
	}
	b.unlock()
	if err != nil {
		return err
	}

	err = os.RemoveAll(filepath.Join(b.dir, grave)) // frees the memory, which takes a while

	b.mu.Lock()
	defer b.unlock()
	delete(b.pending, grave)
	if err != nil {
		b.raise(Event{Kind: EventFailed, Ring: name, Detail: "delete " + grave + "; the next start of brokerd tries again", Err: err})
	}
	return nil
}

// takeOut renames a ring out of place, tells those attached, and forgets it.
// The rename is first: from then on the removal is carried on even if the
// daemon dies, and the next one tells them.
func (b *Broker) takeOut(r *ring) (grave string, err error) {
	name := r.info.Name
	// By the time it was made: a mirror may come back with the epoch it had, and go again.
	grave = graveFolder(name, r.info.CreatedNS)
	if err := os.Rename(r.dir, filepath.Join(b.dir, grave)); err != nil {
		return "", fmt.Errorf("remove ring %s: %w", name, err)
	}
	if err := r.tell(shmring.StateRemoved); err != nil {
		b.raise(Event{Kind: EventFailed, Ring: name, Detail: "tell those attached", Err: err})
	}
	for _, a := range r.ordered() {
		if a.hold != holdZombie && r.mem != nil {
			_ = r.unbind(a.ref) // wakes producers; the state has told them why
		}
		b.raise(Event{Kind: EventDetached, Ring: name, ID: a.id, Detail: "ring removed"})
		b.leave(a)
	}
	if err := r.close(); err != nil {
		b.raise(Event{Kind: EventFailed, Ring: name, Detail: "close the ring", Err: err})
	}
	delete(b.rings, name)
	b.pending[grave] = reservation{rings: 1, bytes: r.bytes(), owner: r.info.Owner}
	b.raise(Event{Kind: EventRemoved, Ring: name})
	return grave, nil
}
