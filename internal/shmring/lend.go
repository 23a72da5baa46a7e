package shmring

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Ring is the daemon's hold on a ring: it makes the files, lends them, binds
// and frees slots, and reads what processes tell of themselves. It is used by
// one goroutine at a time. Every method that touches shared memory may return
// ErrFault or ErrCorrupt: then the ring is to be retired.
type Ring struct {
	ring
	m      mapping
	config Config
	own    []byte   // copy of the words that only the daemon writes (own.go)
	seen   boundary // the end, as of the last look
	dir    string
	data   *os.File   // owned
	pages  []*os.File // owned, one per consumer slot
	closed bool
}

// Open takes over the files of a ring that an earlier daemon made. Nothing in
// them is changed. Errors: ErrNotRing, ErrVersion, ErrCorrupt.
func Open(dir string) (*Ring, error) {
	r := &Ring{dir: dir}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Ring) open() (err error) {
	if r.data, err = os.OpenFile(filepath.Join(r.dir, "data"), os.O_RDWR, 0); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: %w", ErrNotRing, err)
		}
		return err
	}
	if r.config, err = readHeader(r.data); err != nil {
		return err
	}
	for slot := range r.config.ConsumersMax {
		f, err := os.OpenFile(r.cursorPath(slot), os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w: cursor page %d: %w", ErrCorrupt, slot, err)
		}
		if err != nil {
			return err
		}
		r.pages = append(r.pages, f)
	}
	if err := r.mapData(); err != nil {
		return err
	}
	return r.keepOwn()
}

func (r *Ring) mapData() (err error) {
	r.m.data, err = mapFile(r.data, r.config.dataBytes(), true)
	r.m.cursors = make([][]byte, r.config.ConsumersMax)
	r.ring = ring{geometry: r.config.geometry(), b: r.m.data, cursors: r.m.cursors}
	return err
}

func (r *Ring) cursorPath(slot int) string {
	return filepath.Join(r.dir, cursorName(slot))
}

func cursorName(slot int) string { return fmt.Sprintf("c%02d", slot) }

// page maps a cursor page when it is first needed: a host may hold more rings
// and slots than a process may have mappings.
func (r *Ring) page(slot int) ([]byte, error) {
	if slot < 0 || slot >= len(r.pages) {
		return nil, fmt.Errorf("consumer slot %d: the ring has %d", slot, len(r.pages))
	}
	if r.m.cursors[slot] == nil {
		b, err := mapFile(r.pages[slot], cursorPageBytes, true)
		if err != nil {
			return nil, err
		}
		r.m.cursors[slot] = b
	}
	return r.m.cursors[slot], nil
}

// Config is the ring's geometry.
func (r *Ring) Config() Config { return r.config }

// Close unmaps and closes; files and attached processes are not touched.
func (r *Ring) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	err := r.m.unmap()
	if r.data != nil {
		err = errors.Join(err, r.data.Close())
	}
	for _, f := range r.pages {
		err = errors.Join(err, f.Close())
	}
	return err
}

// LendProducer opens the files for a producer: data read-write, all cursor
// pages read-only, in slot order. The caller closes them once they are sent.
func (r *Ring) LendProducer() (data *os.File, cursors []*os.File, err error) {
	if data, err = reopen(r.data, true); err != nil {
		return nil, nil, err
	}
	for _, page := range r.pages {
		f, err := reopen(page, false)
		if err != nil {
			data.Close()
			for _, f := range cursors {
				f.Close()
			}
			return nil, nil, err
		}
		cursors = append(cursors, f)
	}
	return data, cursors, nil
}

// LendConsumer opens the files for the reader in slot: data read-only, its own
// cursor page read-write. The caller closes them once they are sent.
func (r *Ring) LendConsumer(slot int) (data, cursor *os.File, err error) {
	if slot < 0 || slot >= len(r.pages) {
		return nil, nil, fmt.Errorf("consumer slot %d: the ring has %d", slot, len(r.pages))
	}
	if data, err = reopen(r.data, false); err != nil {
		return nil, nil, err
	}
	if cursor, err = reopen(r.pages[slot], true); err != nil {
		data.Close()
		return nil, nil, err
	}
	return data, cursor, nil
}

// Binding is what a slot is lent for.
type Binding struct {
	Generation   uint32 // of the slot; grows with each lending
	Policy       Policy // consumers
	DemoteAfter  time.Duration
	Parks        bool // may sleep in the kernel
	NoFutex      bool // cannot be woken, or cannot wake
	NoMembarrier bool // needs producers to fence each commit
}
