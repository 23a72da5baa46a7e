package broker

import (
	"fmt"
	"os"
	"path/filepath"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// Folders beside the rings. A ring's name starts with a letter or digit, so
// none can be taken for one.
const (
	newPrefix        = ".new-"
	removePrefix     = ".rm-"
	quarantinePrefix = ".quarantine-"
)

// origin is what a mirror has of the ring that it mirrors, beside its description:
// the key, and where it begins. The zero value is for a ring that mirrors none.
type origin struct {
	key   uint64
	start shmring.Boundary
}

// buildRing makes the files of a ring in a folder of their own (0700) and
// renames that into place as a whole. A failure leaves nothing; a crash leaves
// a folder that the next Open deletes.
func buildRing(base string, info wire.Ring, from origin) (*ring, error) {
	temp, err := os.MkdirTemp(base, newPrefix+info.Name+"-")
	if err != nil {
		return nil, err
	}
	if err := fill(temp, info, from); err != nil {
		_ = os.RemoveAll(temp) // of no use to anybody; Open would delete it, too
		return nil, err
	}
	place := filepath.Join(base, info.Name)
	if err := os.Rename(temp, place); err != nil {
		_ = os.RemoveAll(temp)
		return nil, err
	}
	r, err := openRing(base, info.Name)
	if err != nil {
		_ = os.RemoveAll(place)
		return nil, fmt.Errorf("open it again: %w", err)
	}
	return r, nil
}

func fill(dir string, info wire.Ring, from origin) error {
	config := geometry(info)
	config.Key = from.key
	mem, err := shmring.CreateAt(dir, config, from.start)
	if err != nil {
		return err
	}
	// Opened again from its final place: it may remember its folder.
	if err := mem.Close(); err != nil {
		return err
	}
	if err := createSlots(filepath.Join(dir, slotsName)); err != nil {
		return err
	}
	return writeMeta(dir, info)
}
