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

// reservation is memory that is taken while a ring is being built or deleted.
type reservation struct {
	bytes uint64
	owner uint32
}

// usage is what is taken of the limits that hold for all.
type usage struct {
	rings int
	bytes uint64
}

// use counts the rings that exist and those being built or deleted.
func (b *Broker) use() usage {
	u := usage{rings: len(b.rings) + len(b.pending)}
	for _, r := range b.rings {
		u.bytes += r.bytes()
	}
	for _, p := range b.pending {
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
	_, building := b.pending[info.Name]
	if _, ok := b.rings[info.Name]; ok || building {
		return refuseExists(info.Name)
	}
	path := filepath.Join(b.dir, info.Name)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return refuseInTheWay(info.Name, path)
	}
	if u.rings >= b.limits.Rings {
		return refuseLimit("limits.rings", uint64(u.rings), 1, uint64(b.limits.Rings), "rings")
	}
	if past(u.bytes, info.MemoryBytes, b.limits.MemoryBytes) {
		return refuseLimit("limits.memory", u.bytes, info.MemoryBytes, b.limits.MemoryBytes, "bytes")
	}
	most := b.limits.PerUID.MemoryBytes
	if used := b.memoryOf(info.Owner); most > 0 && b.hasQuota(info.Owner) && past(used, info.MemoryBytes, most) {
		return refuseQuota("limits.per_uid.memory", info.Owner, used, info.MemoryBytes, most, "bytes of rings")
	}
	return nil
}

func past(used, wanted, most uint64) bool { return used > most || wanted > most-used }

// admitAttachment says whether a user may have one attachment more.
func (b *Broker) admitAttachment(uid uint32) error {
	if n := len(b.attachments); n >= b.limits.Attachments {
		return refuseLimit("limits.attachments", uint64(n), 1, uint64(b.limits.Attachments), "attachments")
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
		return refuseQuota("limits.per_uid.attachments", uid, uint64(used), 1, uint64(most), "attachments")
	}
	return nil
}
