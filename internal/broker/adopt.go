package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"brokerd/internal/process"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// problemsMax bounds what Open reports about a directory.
const problemsMax = 64

// errState is what a ring says of itself that no daemon left behind so.
var errState = errors.New("ring is not live")

// adoptAll goes through the directory. It fails only where going on would harm.
func (b *Broker) adoptAll() error {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case name == lockName:
		case strings.HasPrefix(name, newPrefix):
			b.discard(name)
		case strings.HasPrefix(name, removePrefix):
			tell(filepath.Join(b.dir, name), shmring.StateRemoved)
			b.discard(name)
		case strings.HasPrefix(name, quarantinePrefix):
			b.noteQuarantine(name, nil)
		case e.IsDir() && wire.ValidName(name) && exists(filepath.Join(b.dir, name, metaName)):
			if err := b.adopt(name); err != nil {
				return err
			}
		default:
			b.leaveAlone(name, "is no ring")
		}
	}
	return nil
}

func (b *Broker) leaveAlone(name, why string) {
	b.raise(Event{Kind: EventLeftAlone, Detail: name})
	b.problem(fmt.Sprintf("%s %s and was left alone: move it elsewhere", filepath.Join(b.dir, name), why))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func (b *Broker) problem(text string) {
	switch n := len(b.problems); {
	case n < problemsMax:
		b.problems = append(b.problems, text)
	case n == problemsMax:
		b.problems = append(b.problems, "more problems were found than are listed here; see the log")
	}
}

// discard deletes what a crash left of a ring being built or deleted.
func (b *Broker) discard(name string) {
	if err := os.RemoveAll(filepath.Join(b.dir, name)); err != nil {
		b.raise(Event{Kind: EventFailed, Detail: "delete " + name, Err: err})
		b.problem(fmt.Sprintf("%s could not be deleted: %v", filepath.Join(b.dir, name), err))
	}
}

// tell lets those who still have a ring mapped know its state, if it is one.
func tell(dir string, state shmring.State) {
	mem, err := shmring.Open(dir)
	if err != nil {
		return // nothing that could be told
	}
	_ = mem.SetState(state) // best effort: the ring is given up anyway
	_ = mem.Close()
}

// adopt takes a ring over as the last daemon left it. One with garbage in it is
// quarantined, one that may not be read left alone. Any other error says that
// this daemon lacks something, and is returned: the ring is as good as it was.
func (b *Broker) adopt(name string) error {
	r, err := openRing(b.dir, name)
	if err == nil {
		if err = b.restore(r); err == nil {
			err = r.retired
		}
		if err != nil {
			for _, a := range r.ordered() {
				b.leave(a)
			}
			_ = r.close() // the error above is the one to tell
		}
	}
	switch {
	case err == nil:
		b.rings[name] = r
		if r.info.Mirror == nil { // the epoch of a mirror is another host's word
			b.lastEpoch = max(b.lastEpoch, r.info.Epoch)
		}
		b.adopted++
		b.raise(Event{Kind: EventAdopted, Ring: name, Detail: fmt.Sprintf("%d attachments kept", len(r.held))})
	case isGarbage(err):
		b.quarantine(name, err)
	case errors.Is(err, fs.ErrPermission):
		b.leaveAlone(name, fmt.Sprintf("may not be read (%v)", err))
	default:
		return fmt.Errorf("ring %s is left as it is: %w%s", name, err, wayOut(err))
	}
	return nil
}

// isGarbage tells an error about what is in a ring from one about this daemon.
func isGarbage(err error) bool {
	if isShortage(err) {
		return false
	}
	for _, e := range []error{
		shmring.ErrNotRing, shmring.ErrVersion, shmring.ErrCorrupt, shmring.ErrFault,
		errMeta, errSlots, errState, fs.ErrNotExist,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// restore looks at the ring itself, and then at each slot on record.
func (b *Broker) restore(r *ring) error {
	stats, err := r.mem.Stats()
	if err != nil {
		return err
	}
	if stats.State != shmring.StateLive {
		return fmt.Errorf("%w: its state word says %s", errState, stats.State)
	}
	r.last = stats
	if err := r.settle(); err != nil {
		return err
	}
	for i, rec := range r.slots.records {
		if rec.State == slotFree || rec.Generation == 0 {
			continue
		}
		ref := refOf(i)
		if most := r.slotsOf(ref.role); ref.slot >= most {
			return fmt.Errorf("%w: %s slot %d of %d", errSlots, ref.role, ref.slot, most)
		}
		if err := b.restoreSlot(r, ref, rec); err != nil {
			return err
		}
	}
	b.shorten(r)
	b.expire(r)
	return nil
}

func (r *ring) slotsOf(role wire.Role) int {
	if role == wire.RoleProducer {
		return geometry(r.info).ProducersMax()
	}
	return r.info.ConsumersMax
}

// restoreSlot keeps what a living process holds, untouched: its gate goes on
// holding the producer, and it comes back with its token or dies. A slot that
// the ring does not honour (the last daemon died between unbinding it and
// striking it off) is a zombie; what a dead process held is taken back, or
// becomes a cursor, as it would have with a daemon watching.
func (b *Broker) restoreSlot(r *ring, ref slotRef, rec slotRecord) error {
	a := &attachment{ring: r, ref: ref, record: rec, hold: holdKept}
	a.id = attachmentID(r.info.Name, ref, rec.Generation)
	if rec.UntilNanos != 0 {
		a.until = time.Unix(0, rec.UntilNanos)
	}
	honoured, err := r.honours(a)
	if err != nil {
		return err
	}
	if rec.State == slotResumable {
		return b.restoreCursor(a, honoured)
	}
	p, err := b.findProc(rec)
	if err != nil { // to take the living for dead would free memory they write to
		return fmt.Errorf("cannot tell whether pid %d of %s lives: %w", rec.PID, a.id, err)
	}
	a.proc = p
	b.enter(a)
	kept := rec.State == slotAttached && honoured
	switch {
	case p == nil:
		b.repair(a, true)
		e := Event{Kind: EventDied, Detail: "while no daemon ran"}
		if kept {
			return b.finish(a, e)
		}
		return b.free(a, e)
	case !kept:
		return b.toZombie(a)
	case ref.role == wire.RoleConsumer:
		b.lookAtReader(a)
	}
	return nil
}

// findProc finds the process of a slot on record, nil when it is gone. What a
// daemon held itself is gone with it, whoever has its pid now: the lock on the
// directory has passed on.
func (b *Broker) findProc(rec slotRecord) (*proc, error) {
	if rec.Own {
		return nil, nil
	}
	id := process.ID{PID: rec.PID, Start: rec.Start}
	p, err := b.holdProc(id, func() (*process.Handle, error) { return process.OpenID(id) })
	if errors.Is(err, process.ErrGone) {
		return nil, nil
	}
	return p, err
}

// restoreCursor takes over a cursor that an earlier daemon kept.
func (b *Broker) restoreCursor(a *attachment, honoured bool) error {
	a.hold = holdResumable
	b.enter(a)
	if !honoured {
		return b.free(a, Event{Kind: EventExpired, Detail: "the ring has lost it"})
	}
	b.lookAtReader(a)
	return nil
}

// honours asks the ring whether a slot is bound to that attachment. A producer's
// is bound to the one on record or to none; a cursor's may not know its latest
// generation yet (rebind). A reader that truncated its page is not honoured.
func (r *ring) honours(a *attachment) (bool, error) {
	if a.ref.role == wire.RoleProducer {
		return r.mem.ProducerBound(a.ref.slot)
	}
	stats, err := r.mem.ConsumerStats(a.ref.slot)
	if isReaderFault(err) {
		return false, nil // restore has found the ring itself sound
	}
	known := stats.Generation == a.record.Generation ||
		a.record.State == slotResumable && stats.Generation+1 == a.record.Generation
	return stats.Policy != 0 && known, err
}

// quarantine renames a ring that cannot be used out of the way, for somebody to
// look at. Its memory stays taken.
func (b *Broker) quarantine(name string, cause error) {
	tell(filepath.Join(b.dir, name), shmring.StateCorrupt)
	folder := fmt.Sprintf("%s%s-%s", quarantinePrefix, name, b.now().UTC().Format("20060102T150405.000000"))
	if err := os.Rename(filepath.Join(b.dir, name), filepath.Join(b.dir, folder)); err != nil {
		b.raise(Event{Kind: EventFailed, Ring: name, Detail: "quarantine", Err: err})
		b.problem(fmt.Sprintf("ring %s cannot be used (%v) and could not be moved away: %v", name, cause, err))
		return
	}
	b.noteQuarantine(folder, cause)
	b.raise(Event{Kind: EventQuarantined, Ring: name, Detail: folder, Err: cause})
}

func (b *Broker) noteQuarantine(folder string, cause error) {
	b.quarantined = append(b.quarantined, folder)
	path := filepath.Join(b.dir, folder)
	if cause == nil {
		b.problem(fmt.Sprintf("%s is a ring that an earlier brokerd could not adopt: look at it, then delete it", path))
		return
	}
	b.problem(fmt.Sprintf("%s is a ring that could not be adopted (%v): look at it, then delete it", path, cause))
}
