package broker

import (
	"errors"
	"fmt"
	"strconv"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// ErrClosed says that the Broker was closed.
var ErrClosed = errors.New("broker is closed")

// The refusals that reach users: what was wrong, where, what to do.

func quoted(s string) string {
	const shownBytesMax = 80
	if len(s) > shownBytesMax {
		return fmt.Sprintf("%s... (%d bytes)", strconv.Quote(s[:shownBytesMax]), len(s))
	}
	return strconv.Quote(s)
}

func invalidKey(ring, key, got, expected string) error {
	if key == "name" {
		return wire.InvalidRing(key, "ring name is %s: expected %s", got, expected)
	}
	return wire.InvalidRing(key, "ring %s: %s is %s: expected %s", ring, key, got, expected)
}

func refuseUnknownRing(name string) error {
	if !wire.ValidName(name) {
		return wire.RingNotFound(name, "there is no ring %s, and none can have that name: names are 1 to %d of [a-zA-Z0-9._-], the first a letter or digit",
			quoted(name), wire.NameBytesMax)
	}
	return wire.RingNotFound(name, "there is no ring %s: see brokerctl ring list, or create it", name)
}

func refuseExists(name string) error {
	return wire.RingExists(name, "ring %s exists already: use it, or remove it first (brokerctl ring rm %s)", name, name)
}

func refuseInTheWay(name, path string) error {
	return wire.RingExists(name, "ring %s: %s is in the way and is no ring of this brokerd: move it, or choose another name", name, path)
}

func refuseInUse(name string, attached int) error {
	return wire.RingInUse(name, attached, "ring %s has %d attachments: end them (brokerctl attachments lists them), or force the removal", name, attached)
}

func refuseMirrorInUse(r wire.Ring, attached int) error {
	return wire.RingInUse(r.Name, attached, "ring %s mirrors ring %s of %s, the gateway writes to it, and it has %d attachments: take it out of gateway.peers and reload, or force the removal, after which it is mirrored anew",
		r.Name, r.Mirror.Ring, r.Mirror.Peer, attached)
}

func refuseMirrorProducer(r wire.Ring) error {
	return wire.AccessDenied("mirror", "ring %s mirrors ring %s of %s: nobody produces to a mirror; produce to ring %s there",
		r.Name, r.Mirror.Ring, r.Mirror.Peer, r.Mirror.Ring)
}

func refuseMirrorName(have wire.Ring, want wire.MirrorOf) error {
	is := "is a ring of this host"
	if have.Mirror != nil {
		is = fmt.Sprintf("mirrors ring %s of %s", have.Mirror.Ring, have.Mirror.Peer)
	}
	return wire.RingExists(have.Name, "ring %s of %s cannot be mirrored as %s: ring %s %s: give the mirror another name (as in gateway.peers), or remove that ring (brokerctl ring rm %s)",
		want.Ring, want.Peer, have.Name, have.Name, is, have.Name)
}

func refuseOtherOrigin(have wire.Ring, epoch uint64) error {
	return wire.EpochChanged(have.Name, epoch, have.Epoch, "ring %s mirrors ring %s of %s as it was at epoch %d, and that was made anew (epoch %d): remove the mirror, and it is mirrored anew",
		have.Name, have.Mirror.Ring, have.Mirror.Peer, have.Epoch, epoch)
}

func (b *Broker) refuseLimit(limit string, used, wanted, most uint64, unit string) error {
	return b.refuse(limit, wire.LimitExceeded(limit, used, wanted, most, "%s: %d %s in use, %d more wanted, at most %d allowed: free some, or raise %s in the configuration",
		limit, used, unit, wanted, most, limit))
}

func (b *Broker) refuseQuota(limit string, uid uint32, used, wanted, most uint64, unit string) error {
	return b.refuse(limit, wire.LimitExceeded(limit, used, wanted, most, "%s: uid %d has %d %s, %d more wanted, at most %d allowed for each user: free some of them, or raise %s in the configuration",
		limit, uid, used, unit, wanted, most, limit))
}

func refuseNoSpace(doing, dir string, wanted, free uint64, quarantined int) error {
	return wire.NoSpace(dir, wanted, free, "%s: tmpfs of %s is full: %d bytes wanted, %d free%s: remove rings, make the ring smaller, or enlarge it (mount -o remount,size=...)",
		doing, dir, wanted, free, besides(dir, quarantined))
}

func refuseNoInodes(doing, dir string, files int, left, wanted, free uint64, quarantined int) error {
	return wire.NoSpace(dir, wanted, free, "%s: tmpfs of %s takes no more files: %d wanted, %d left%s: remove rings, make rings with fewer consumers_max, or enlarge it (mount -o remount,nr_inodes=...)",
		doing, dir, files, left, besides(dir, quarantined))
}

// besides names what else takes room on a tmpfs.
func besides(dir string, quarantined int) string {
	if quarantined == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d quarantined rings in %s hold some, too)", quarantined, dir)
}

func refuseNoMemory(doing, dir string, wanted, free uint64, cause error) error {
	return wire.NoSpace(dir, wanted, free, "%s: the kernel gives brokerd no more memory (%v), though the host has %d bytes: remove rings, or look at RLIMIT_AS of brokerd, its cgroup and vm.max_map_count",
		doing, cause, free)
}

func refuseHostMemory(name, dir string, wanted, free uint64) error {
	return wire.NoSpace(dir, wanted, free, "ring %s: %d bytes wanted, and the host has %d bytes of memory left: make it smaller, or remove rings", name, wanted, free)
}

func refuseEpoch(name string, wanted, current uint64) error {
	return wire.EpochChanged(name, wanted, current, "ring %s was created again: its epoch is %d, not %d: attach without an epoch and start anew", name, current, wanted)
}

func refuseCorrupt(r *ring) error {
	name := r.info.Name
	if r.waits == "" {
		return wire.RingCorrupt(name, "ring %s is retired (%v): in a moment there is another one of its name, with a new epoch: attach to that", name, r.retired)
	}
	return wire.RingCorrupt(name, "ring %s is retired (%v) and has no successor yet: %s; or remove it (brokerctl ring rm --force %s) and create it again",
		name, r.retired, r.waits, name)
}

func refuseProducer(name string, a *attachment) error {
	pid := a.record.PID
	if a.hold != holdZombie {
		return wire.ProducerPresent(name, pid, "ring %s has its one producer, %s of pid %d (%s): end that process, or let it detach",
			name, a.id, pid, a.hold.state())
	}
	why := a.ended
	if why == "" {
		why = "by an earlier brokerd"
	}
	return wire.ProducerPresent(name, pid, "ring %s: its one producer, %s, was ended (%s), but pid %d lives and can still write to the ring: pid %d must exit first",
		name, a.id, why, pid, pid)
}

func refuseProducerSlots(r *ring, most int) error {
	return wire.SlotsExhausted(r.info.Name, wire.RoleProducer, most,
		"ring %s has no producer slot left: of %d, %d are held by processes that live: end some of them, or let them detach",
		r.info.Name, most, len(r.holders(wire.RoleProducer)))
}

func refuseSlots(r *ring, uid uint32) error {
	most := r.info.ConsumersMax
	living, cursors := 0, 0
	for _, a := range r.holders(wire.RoleConsumer) {
		if a.hold == holdResumable {
			cursors++
		} else {
			living++
		}
	}
	kept := ""
	if cursors > 0 {
		kept = fmt.Sprintf(", %d are kept for readers to resume", cursors)
	}
	return wire.SlotsExhausted(r.info.Name, wire.RoleConsumer, most,
		"ring %s has no consumer slot left for uid %d: of %d, %d are held by living processes%s and %d are bound to other users: end readers, or create the ring again with a larger consumers_max (at most %d)",
		r.info.Name, uid, most, living, kept, most-living-cursors, shmring.ConsumersMax)
}

func refuseCursorInUse(ring string, a *attachment) error {
	return wire.CursorInUse(a.record.Name, a.record.PID, "ring %s: the cursor %s cannot be resumed, pid %d still reads with it (%s, %s): end that process, or let it detach",
		ring, a.record.Name, a.record.PID, a.id, a.hold.state())
}

func refuseCursorOf(ring string, a *attachment, uid uint32) error {
	return wire.AccessDenied("resume", "ring %s: the cursor %s (%s) belongs to uid %d, and you are uid %d: only the same user can resume it; take another name",
		ring, a.record.Name, a.id, a.record.UID, uid)
}

func refuseAttachment(id string) error {
	return wire.AttachmentNotFound(id, "there is no attachment %s: brokerctl attachments lists them", quoted(id))
}
