package broker

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"brokerd/internal/wire"
)

// Limits bound what the broker lends. Zero means none may exist, but in PerUID.
type Limits struct {
	MemoryBytes uint64 // sum of wire.Ring.MemoryBytes
	Rings       int
	Attachments int // slots held: by connections, by processes that still live, by cursors
	PerUID      UIDLimits
}

// UIDLimits bound what one user may have of that; root and the daemon's user are
// free. Zero means no bound.
type UIDLimits struct {
	MemoryBytes uint64 // of the rings that it owns
	Attachments int    // as in Limits
}

// SetLimits replaces the limits. What is there already stays, if it is more.
func (b *Broker) SetLimits(l Limits) {
	b.mu.Lock()
	defer b.unlock()
	b.limits = l
}

// reservation is what a folder takes while a ring is being built or deleted in it.
type reservation struct {
	name  string // that the ring will have; "" when it is deleted, or is to succeed another
	rings int    // of Limits.Rings
	bytes uint64
	owner uint32
}

// usage is what is taken of the limits that hold for all.
type usage struct {
	rings int
	bytes uint64
}

// use counts the rings that exist and those being built or deleted, and the memory
// of quarantined ones, too.
func (b *Broker) use() usage {
	u := usage{rings: len(b.rings), bytes: b.quarantinedBytes()}
	for _, r := range b.rings {
		u.bytes += r.bytes()
	}
	for _, p := range b.pending {
		u.rings += p.rings
		u.bytes += p.bytes
	}
	return u
}

// memoryOf is the part of use that one user owns.
func (b *Broker) memoryOf(uid uint32) (bytes uint64) {
	for _, r := range b.rings {
		if r.info.Owner == uid {
			bytes += r.bytes()
		}
	}
	for _, p := range b.pending {
		if p.owner == uid {
			bytes += p.bytes
		}
	}
	for _, q := range b.quarantined {
		if q.Owner == uid {
			bytes += q.bytes
		}
	}
	return bytes
}

// hasQuota tells whether PerUID binds a user.
func (b *Broker) hasQuota(uid uint32) bool { return uid != 0 && uid != b.ownerUID }

// admitRing says whether a ring of that name, size and owner may be made when
// that much is in use.
func (b *Broker) admitRing(info wire.Ring, u usage) error {
	if b.closed {
		return ErrClosed
	}
	if _, ok := b.rings[info.Name]; ok || b.building(info.Name) {
		return refuseExists(info.Name)
	}
	path := filepath.Join(b.dir, info.Name)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return refuseInTheWay(info.Name, path)
	}
	if u.rings >= b.limits.Rings {
		return b.refuseLimit(limitRings, uint64(u.rings), 1, uint64(b.limits.Rings), "rings")
	}
	if past(u.bytes, info.MemoryBytes, b.limits.MemoryBytes) {
		return b.refuseLimit(limitMemory, u.bytes, info.MemoryBytes, b.limits.MemoryBytes, "bytes")
	}
	most := b.limits.PerUID.MemoryBytes
	if used := b.memoryOf(info.Owner); most > 0 && b.hasQuota(info.Owner) && past(used, info.MemoryBytes, most) {
		return b.refuseQuota(limitUIDMemory, info.Owner, used, info.MemoryBytes, most, "bytes of rings")
	}
	return nil
}

// building tells whether a ring of that name is being made.
func (b *Broker) building(name string) bool {
	for _, p := range b.pending {
		if p.name == name {
			return true
		}
	}
	return false
}

func past(used, wanted, most uint64) bool { return used > most || wanted > most-used }

// admitAttachment says whether a user may have one attachment more.
func (b *Broker) admitAttachment(uid uint32) error {
	if n := len(b.attachments); n >= b.limits.Attachments {
		return b.refuseLimit(limitAttachments, uint64(n), 1, uint64(b.limits.Attachments), "attachments")
	}
	most := b.limits.PerUID.Attachments
	if most == 0 || !b.hasQuota(uid) {
		return nil
	}
	used := 0
	for _, a := range b.attachments {
		if a.record.UID == uid {
			used++
		}
	}
	if used >= most {
		return b.refuseQuota(limitUIDAttachments, uid, uint64(used), 1, uint64(most), "attachments")
	}
	return nil
}
