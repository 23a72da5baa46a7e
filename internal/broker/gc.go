package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// problemsMax bounds what is told of things in the directory that are no rings.
const problemsMax = 64

// foreign is something in the directory that is no ring.
type foreign struct{ name, why string }

func (f foreign) text(dir string) string {
	return fmt.Sprintf("%s %s and was left alone: move it elsewhere", filepath.Join(dir, f.name), f.why)
}

// kindOf tells what something in the directory is by its looks; "" for a ring.
func (b *Broker) kindOf(e fs.DirEntry) wire.GarbageKind {
	name := e.Name()
	switch prefix, _, own := ownFolder(e); {
	case own && prefix == quarantinePrefix:
		return wire.GarbageQuarantined
	case own:
		return wire.GarbageUnfinished
	case e.IsDir() && wire.ValidName(name) && looksLikeRing(filepath.Join(b.dir, name)):
		return ""
	}
	return wire.GarbageForeign
}

// looksLikeRing tells a ring, be it a broken one, from a folder of somebody else.
func looksLikeRing(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, metaName)); !errors.Is(err, fs.ErrNotExist) {
		return true
	}
	mem, err := shmring.Open(dir)
	if err == nil {
		_ = mem.Close()
	}
	return err == nil || errors.Is(err, shmring.ErrVersion) || errors.Is(err, shmring.ErrCorrupt)
}

func (b *Broker) leaveAlone(name, why string) {
	b.raise(Event{Kind: EventLeftAlone, Detail: name})
	b.foreign = append(b.foreign, foreign{name, why})
}

// discard deletes what a crash left of a ring being built or deleted.
func (b *Broker) discard(folder, ring string) {
	if err := os.RemoveAll(filepath.Join(b.dir, folder)); err != nil {
		b.noteUndeleted(folder, err)
		return
	}
	b.raise(Event{Kind: EventCollected, Ring: ring, Detail: folder})
}

func (b *Broker) noteUndeleted(folder string, err error) {
	b.undeleted[folder] = err
	b.raise(Event{Kind: EventFailed, Detail: "delete " + folder, Err: err})
}

// folderProblems tells of what is in the directory beside rings.
func (b *Broker) folderProblems() []string {
	problems := []string{}
	for i, f := range b.foreign {
		if i == problemsMax {
			problems = append(problems, fmt.Sprintf("%d more things in %s are no rings; brokerctl gc --dry-run lists them", len(b.foreign)-i, b.dir))
			break
		}
		problems = append(problems, f.text(b.dir))
	}
	for _, folder := range slices.Sorted(maps.Keys(b.undeleted)) {
		problems = append(problems, fmt.Sprintf("%s is left of a ring and could not be deleted (%v): put that right, then brokerctl gc deletes it",
			filepath.Join(b.dir, folder), b.undeleted[folder]))
	}
	for _, q := range b.quarantined {
		problems = append(problems, q.text(b.dir))
	}
	return problems
}

// CollectGarbage looks through the directory and deletes quarantined rings and what
// is left of rings that were half built or half deleted; with dryRun it only lists
// them. What is no ring is listed (more counts the rest of a long list, its size is not
// looked at) and left alone. Rings that wait for room get their successors then.
func (b *Broker) CollectGarbage(dryRun bool) (found []wire.Garbage, more int, err error) {
	b.collecting.Lock()
	defer b.collecting.Unlock()
	found, more, err = b.findGarbage()
	if err != nil || dryRun {
		return found, more, err
	}
	for i := range found {
		if found[i].Kind != wire.GarbageForeign {
			b.collect(&found[i])
		}
	}
	b.hurry()
	return found, more, nil
}

// findGarbage lists what is in the directory beside rings, in order of its name, and
// brings what is known of it up to date.
func (b *Broker) findGarbage() (found []wire.Garbage, more int, err error) {
	b.mu.Lock()
	defer b.unlock()
	if b.closed {
		return nil, 0, ErrClosed
	}
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return nil, 0, fmt.Errorf("look through the rings: %w", err)
	}
	foreignBefore, undeletedBefore := b.foreign, b.undeleted
	b.quarantined, b.foreign, b.undeleted = nil, nil, map[string]error{}
	for _, e := range entries {
		name := e.Name()
		if _, busy := b.pending[name]; busy || name == lockName || b.rings[name] != nil || b.building(name) {
			continue
		}
		_, ring, _ := ownFolder(e)
		g := wire.Garbage{Kind: b.kindOf(e), Path: filepath.Join(b.dir, name)}
		if info, err := e.Info(); err == nil {
			g.SinceNS = info.ModTime().UnixNano()
		}
		switch g.Kind {
		case wire.GarbageQuarantined:
			q := b.lookAtQuarantined(name, ring)
			b.quarantined = append(b.quarantined, q)
			g.Ring, g.Owner, g.Bytes, g.SinceNS, g.Why, g.Advice = q.Ring, q.Owner, q.bytes, q.SinceNS, q.Why, q.Advice
		case wire.GarbageUnfinished:
			g.Ring, g.Bytes, g.Why, g.Advice = ring, folderBytes(g.Path), "left of a ring that was being made or removed", "brokerctl gc deletes it"
			if err := undeletedBefore[name]; err != nil {
				b.undeleted[name] = err
				g.Why += fmt.Sprintf(", and could not be deleted (%v)", err)
			}
		default:
			f := foreignNow(foreignBefore, name, g.Kind)
			if b.foreign = append(b.foreign, f); len(b.foreign) > problemsMax {
				more++
				continue
			}
			g.Kind, g.Why, g.Advice = wire.GarbageForeign, f.why, "left alone: move it elsewhere"
		}
		found = append(found, g)
	}
	return found, more, nil
}

// foreignNow is what is said of something that is not in use: as before, if it was
// there then.
func foreignNow(before []foreign, name string, kind wire.GarbageKind) foreign {
	i := slices.IndexFunc(before, func(f foreign) bool { return f.name == name })
	switch {
	case i >= 0:
		return before[i]
	case kind == wire.GarbageForeign:
		return foreign{name, "is no ring"}
	}
	return foreign{name, "is a ring that came while brokerd ran, which the next start adopts,"}
}

// collect deletes one thing. It is renamed first, so that a crash leaves what the
// next Open deletes; the memory counts until it is free.
func (b *Broker) collect(g *wire.Garbage) {
	folder := filepath.Base(g.Path)
	b.mu.Lock()
	grave := folder
	var err error
	if g.Kind == wire.GarbageQuarantined {
		grave = graveFolder(g.Ring, int64(b.nextEpoch(uint64(b.now().UnixMicro()))))
		err = os.Rename(g.Path, filepath.Join(b.dir, grave))
	}
	if err == nil {
		b.pending[grave] = reservation{bytes: g.Bytes, owner: g.Owner}
		b.quarantined = slices.DeleteFunc(b.quarantined, func(q *quarantined) bool { return q.folder == folder })
		delete(b.undeleted, folder)
	}
	b.unlock()
	if err == nil {
		err = os.RemoveAll(filepath.Join(b.dir, grave))
	}

	b.mu.Lock()
	defer b.unlock()
	delete(b.pending, grave)
	if err != nil {
		b.noteUndeleted(grave, err)
		g.Path, g.Advice = filepath.Join(b.dir, grave), fmt.Sprintf("it could not be deleted (%v): put that right, then try again", err)
		return
	}
	g.Deleted, g.Advice = true, ""
	b.raise(Event{Kind: EventCollected, Ring: g.Ring, Detail: folder})
}
