package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// adoptAll goes through the directory. It fails only where going on would harm.
func (b *Broker) adoptAll() error {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		folder := e.Name()
		n, noted := readNote(filepath.Join(b.dir, folder))
		kind := b.kindOf(e)
		prefix, ring, _ := ownFolder(e)
		switch {
		case folder == lockName:
		case kind == wire.GarbageUnfinished && prefix == newPrefix && noted: // replaced, and not renamed any more
			if err := b.setAside(folder, n.Ring, errors.New(n.Why)); err != nil {
				b.failedAway(n.Ring, err)
			}
		case kind == wire.GarbageUnfinished:
			tell(filepath.Join(b.dir, folder), shmring.StateRemoved)
			b.discard(folder, ring)
		case kind == wire.GarbageQuarantined:
			b.quarantined = append(b.quarantined, b.lookAtQuarantined(folder, ring))
		case kind == wire.GarbageForeign:
			b.leaveAlone(folder, "is no ring")
		default:
			if err := b.adopt(folder); err != nil {
				return err
			}
		}
	}
	return nil
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
// given up, one that may not be read left alone. Any other error says that
// this daemon lacks something, and is returned: the ring is as good as it was.
func (b *Broker) adopt(name string) error {
	r, err := b.takeOver(name)
	switch {
	case err == nil:
		b.rings[name] = r
		b.noteEpoch(r.info)
		b.adopted++
		b.raise(Event{Kind: EventAdopted, Ring: name, Detail: fmt.Sprintf("%d attachments kept", len(r.held))})
	case isGarbage(err):
		b.giveUp(name, err)
	case errors.Is(err, fs.ErrPermission):
		b.leaveAlone(name, fmt.Sprintf("may not be read (%v)", err))
	default:
		return fmt.Errorf("ring %s is left as it is: %w%s", name, err, wayOut(err))
	}
	return nil
}

// takeOver opens a ring, if it is of use, and finds out who holds what of it.
func (b *Broker) takeOver(name string) (*ring, error) {
	dir := filepath.Join(b.dir, name)
	if n, ok := readNote(dir); ok {
		return nil, fmt.Errorf("%w: %s", errSetAside, n.Why)
	}
	m, err := readMeta(dir, name)
	if err != nil {
		return nil, err
	}
	// Its processes are gone, whoever has their ids now. And a tmpfs does not
	// outlive a boot: somebody has copied it, maybe while it was written to, and
	// there may be another ring of its epoch.
	if m.Boot != "" && m.Boot != b.boot {
		return nil, fmt.Errorf("%w: boot %s, this one is %s", errBoot, m.Boot, b.boot)
	}
	r, err := openRing(dir, m.Ring)
	if err != nil {
		return nil, err
	}
	if err = b.restore(r); err == nil {
		err = r.retired
	}
	if err != nil {
		for _, a := range r.ordered() {
			b.leave(a)
		}
		_ = r.close() // the error above is the one to tell
		return nil, err
	}
	_ = os.Remove(filepath.Join(dir, metaName+tempSuffix)) // of a daemon that died
	if m.Boot == "" {
		b.describeAgain(r) // by an earlier brokerd, which did not write the boot down
	}
	return r, nil
}

// noteEpoch sees to it that no ring to come has the epoch of this one. That of a
// mirror is another host's word.
func (b *Broker) noteEpoch(info wire.Ring) {
	if info.Mirror == nil {
		b.lastEpoch = max(b.lastEpoch, info.Epoch)
	}
}

// giveUp retires a ring that Open cannot use. It is set aside when its successor is
// there, or at once where its description does not say what that would be.
func (b *Broker) giveUp(name string, cause error) {
	dir := filepath.Join(b.dir, name)
	tell(dir, shmring.StateCorrupt)
	m, err := readMeta(dir, name)
	if err != nil {
		m.Ring = wire.Ring{Name: name, Owner: b.ownerUID}
	}
	b.noteDown(m.Ring, dir, cause)
	if !errors.Is(cause, errSetAside) { // else it was told of before
		b.retired++
		b.raise(Event{Kind: EventRetired, Ring: name, Err: cause})
	}
	if err == nil {
		b.noteEpoch(m.Ring)
		b.rings[name] = &ring{info: m.Ring, dir: dir, held: map[slotRef]*attachment{}, retired: cause}
		return
	}
	if err := b.setAside(name, name, cause); err != nil {
		b.failedAway(name, err)
	}
}

func (b *Broker) failedAway(name string, err error) {
	b.raise(Event{Kind: EventFailed, Ring: name, Detail: "set it aside", Err: err})
}

// isGarbage tells an error about what is in a ring from one about this daemon.
func isGarbage(err error) bool {
	if isShortage(err) {
		return false
	}
	for _, e := range []error{
		shmring.ErrNotRing, shmring.ErrVersion, shmring.ErrCorrupt, shmring.ErrFault,
		errMeta, errSlots, errState, errBoot, errSetAside, fs.ErrNotExist,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
