package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"brokerd/internal/shmring"
)

// sessionsName is the journal of a ring: how far what each remote client sent has
// been published. It is there once a remote client has produced to the ring.
const sessionsName = "sessions"

// Journal opens the journal of a ring; it is made when there is none, and counts
// against limits.memory. The caller closes it, and holds it alone: a removal of
// the ring leaves it usable. Refusals are *wire.Error: RingNotFound, RingCorrupt,
// LimitExceeded.
func (b *Broker) Journal(name string) (*shmring.Journal, error) {
	b.mu.Lock()
	defer b.unlock()
	r, err := b.ringNamed(name)
	if err != nil {
		return nil, err
	}
	if r.retired != nil {
		return nil, refuseCorrupt(r)
	}
	if used := b.use().bytes; !r.sessions && past(used, shmring.JournalBytes, b.limits.MemoryBytes) {
		return nil, b.refuseLimit(limitMemory, used, shmring.JournalBytes, b.limits.MemoryBytes, "bytes")
	}
	j, err := openJournal(r.dir)
	if err != nil {
		doing := "make the journal of ring " + name
		return nil, b.scarce(fmt.Errorf("%s: %w", doing, err), doing, shmring.JournalBytes, 1)
	}
	r.sessions = true
	return j, nil
}

func openJournal(dir string) (*shmring.Journal, error) {
	f, err := os.OpenFile(filepath.Join(dir, sessionsName), os.O_RDWR|os.O_CREATE, 0o600) // os opens with O_CLOEXEC
	if err != nil {
		return nil, err
	}
	return shmring.OpenJournal(f) // owns f
}

// settle makes the journal of an adopted ring say for certain what was published,
// while the ring can still tell: before a claim left open becomes a gap.
func (r *ring) settle() error {
	info, err := os.Lstat(filepath.Join(r.dir, sessionsName))
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 { // empty: a crash came before anything was noted
		return nil
	}
	if err != nil {
		return err
	}
	r.sessions = true
	j, err := openJournal(r.dir)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	var unread error
	j.Settle(func(claim uint64) bool {
		published, err := r.mem.Published(claim)
		if err != nil && unread == nil {
			unread = err
		}
		return published
	})
	if err := j.Close(); err != nil && unread == nil {
		unread = err
	}
	if unread != nil {
		return fmt.Errorf("journal: %w", unread)
	}
	return nil
}
