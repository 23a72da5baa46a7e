package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"brokerd/internal/wire"
)

// Succession: a ring in which garbage was found is retired, and then set aside for
// another one that has its name, its description and a new epoch. Old and new
// change their names at once, so that a crash leaves one of them under the name:
// after it, the one whose folder has a note (quarantine.go) is the old one. A mirror
// has no successor: it is set aside, and the gateway makes it anew.

// successionPause is before another attempt at a successor that could not be built.
const successionPause = 5 * time.Second

// errOvertaken says that the ring was removed while its successor was built.
var errOvertaken = errors.New("the ring was removed meanwhile")

// hurry has keepSucceeding look at once.
func (b *Broker) hurry() {
	select {
	case b.retirements <- struct{}{}:
	default: // it will, anyway
	}
}

// keepSucceeding gives retired rings their successors, beside the sweep, which
// must not wait until gigabytes are reserved.
func (b *Broker) keepSucceeding(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.retirements:
			b.succeedAll()
		}
	}
}

// succeedAll goes through the retired rings. One call at a time.
func (b *Broker) succeedAll() {
	b.mu.Lock()
	var retired []*ring
	for _, name := range b.names() {
		if r := b.rings[name]; r.retired != nil && !b.now().Before(r.retryAt) {
			retired = append(retired, r)
		}
	}
	b.unlock()
	for _, r := range retired {
		b.succeed(r)
	}
}

// succeed builds the successor of a ring without the lock, or notes what it waits
// for.
func (b *Broker) succeed(r *ring) {
	folder, info := b.planSuccessor(r)
	if folder == "" {
		return
	}
	next, err := b.build(folder, info, origin{})
	if err == nil {
		if err = b.replace(r, next); err != nil {
			_ = next.close() // nobody has had it
			_ = os.RemoveAll(filepath.Join(b.dir, folder))
		}
	}
	b.mu.Lock()
	defer b.unlock()
	delete(b.pending, folder)
	if err != nil && b.rings[info.Name] == r {
		r.retryAt = b.now().Add(successionPause)
		r.waits = fmt.Sprintf("it could not be made (%v), which is tried again", err)
		b.raise(Event{Kind: EventFailed, Ring: info.Name, Detail: "make its successor", Err: err})
	}
}

// planSuccessor reserves memory for a successor and names the folder to build it
// in; "" when there is nothing to build, now.
func (b *Broker) planSuccessor(r *ring) (folder string, info wire.Ring) {
	b.mu.Lock()
	defer b.unlock()
	info = r.info
	if b.closed || b.rings[info.Name] != r {
		return "", info
	}
	if r.waits = b.obstacle(r.info); r.waits != "" {
		return "", info
	}
	if info.Mirror != nil {
		if err := b.setAside(info.Name, info.Name, r.retired); err != nil {
			r.retryAt = b.now().Add(successionPause)
			r.waits = fmt.Sprintf("it could not be moved away (%v), which is tried again", err)
			return "", info
		}
		b.drop(r)
		delete(b.rings, info.Name)
		return "", info
	}
	now := b.now()
	info.CreatedNS, info.Epoch = now.UnixNano(), b.nextEpoch(uint64(now.UnixMicro()))
	folder = buildingFolder(info)
	b.pending[folder] = reservation{bytes: info.MemoryBytes, owner: info.Owner}
	return folder, info
}

// obstacle says what a successor has to wait for, "" for nothing. It asks again
// and again, so it counts no refusals.
func (b *Broker) obstacle(info wire.Ring) string {
	const then = "then it gets its successor by itself"
	name, used, most := info.Name, b.use().bytes, b.limits.MemoryBytes
	if n := b.quarantinedOf(name); n >= quarantinedPerRingMax {
		return fmt.Sprintf("%d rings of its name are quarantined already, which is the most: find out who writes to it, and delete them with brokerctl gc, %s", n, then)
	}
	if info.Mirror != nil {
		return "" // it is moved away, which takes nothing
	}
	if past(used, info.MemoryBytes, most) {
		return fmt.Sprintf("limits.memory allows %d bytes, %d are in use (%d of them quarantined) and it takes %d: delete what is quarantined with brokerctl gc, remove rings, or raise limits.memory, %s",
			most, used, b.quarantinedBytes(), info.MemoryBytes, then)
	}
	if most, used := b.limits.PerUID.MemoryBytes, b.memoryOf(info.Owner); most > 0 && b.hasQuota(info.Owner) && past(used, info.MemoryBytes, most) {
		return fmt.Sprintf("limits.per_uid.memory allows %d bytes, uid %d has %d in use, quarantined rings included, and it takes %d: delete what is quarantined with brokerctl gc, remove rings of that user, or raise the limit, %s",
			most, info.Owner, used, info.MemoryBytes, then)
	}
	if free := min(freeBytes(b.dir), hostFreeBytes()); info.MemoryBytes > free {
		return fmt.Sprintf("%d bytes are free on the tmpfs of %s and it takes %d: delete what is quarantined with brokerctl gc, remove rings, or enlarge the tmpfs (mount -o remount,size=...), %s",
			free, b.dir, info.MemoryBytes, then)
	}
	if free, bounded := freeInodes(b.dir); bounded && free < uint64(filesOf(info)) {
		return fmt.Sprintf("the tmpfs of %s takes %d files more and it takes %d: delete what is quarantined with brokerctl gc, remove rings, or enlarge the tmpfs (mount -o remount,nr_inodes=...), %s",
			b.dir, free, filesOf(info), then)
	}
	return ""
}

// replace puts next, which lies in the folder that it was built in, in the place
// of r, and sets r aside.
func (b *Broker) replace(r, next *ring) error {
	b.mu.Lock()
	defer b.unlock()
	name := r.info.Name
	if b.closed || b.rings[name] != r {
		return errOvertaken
	}
	b.noteDown(r.info, r.dir, r.retired) // if it could not be written before
	if _, ok := readNote(r.dir); !ok {
		return errors.New("why the ring is retired could not be written down")
	}
	// What Reconcile has changed meanwhile.
	next.info, next.managed, next.drift = withLiveKeys(next.info, r.info), r.managed, r.drift
	if err := b.writeMeta(next.dir, next.info); err != nil {
		return err
	}
	built := next.dir
	if err := exchange(built, r.dir); err != nil {
		return err
	}
	next.dir, r.dir = r.dir, built
	b.rings[name] = next
	delete(b.pending, filepath.Base(built))
	b.drop(r)
	b.raise(Event{Kind: EventSucceeded, Ring: name, Detail: fmt.Sprintf("epoch %d instead of %d", next.info.Epoch, r.info.Epoch), Err: r.retired})
	if err := b.setAside(filepath.Base(built), name, r.retired); err != nil {
		b.raise(Event{Kind: EventFailed, Ring: name, Detail: "the next start of brokerd tries again", Err: err})
	}
	return nil
}

// drop forgets a retired ring and what it has lent. Those attached have learned it
// from the ring; whoever still writes to it writes to what is set aside.
func (b *Broker) drop(r *ring) {
	for _, a := range r.ordered() {
		b.raise(Event{Kind: EventDetached, Ring: r.info.Name, ID: a.id, Detail: "the ring is retired"})
		b.leave(a)
	}
	if err := r.close(); err != nil {
		b.raise(Event{Kind: EventFailed, Ring: r.info.Name, Detail: "close the retired ring", Err: err})
	}
}
