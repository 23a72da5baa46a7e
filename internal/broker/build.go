package broker

import (
	"os"
	"path/filepath"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// origin is what a mirror has of the ring that it mirrors, beside its description:
// the key, and where it begins. The zero value is for a ring that mirrors none.
type origin struct {
	key   uint64
	start shmring.Boundary
}

// build makes a ring in a folder of its own (0700) and opens it there: none of its
// files is opened by name again. A failure leaves nothing; a crash leaves a folder
// that the next Open deletes.
func (b *Broker) build(folder string, info wire.Ring, from origin) (*ring, error) {
	dir := filepath.Join(b.dir, folder)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	err := b.fill(dir, info, from)
	var r *ring
	if err == nil {
		r, err = openRing(dir, info)
	}
	if err != nil {
		_ = os.RemoveAll(dir) // of no use to anybody; Open would delete it, too
		return nil, err
	}
	return r, nil
}

func (b *Broker) fill(dir string, info wire.Ring, from origin) error {
	config := geometry(info)
	config.Key = from.key
	mem, err := shmring.CreateAt(dir, config, from.start)
	if err != nil {
		return err
	}
	if err := mem.Close(); err != nil {
		return err
	}
	if err := createSlots(filepath.Join(dir, slotsName)); err != nil {
		return err
	}
	return b.writeMeta(dir, info)
}

// moveIn renames a ring that was built into its place, as a whole.
func (b *Broker) moveIn(r *ring) error {
	place := filepath.Join(b.dir, r.info.Name)
	if err := os.Rename(r.dir, place); err != nil {
		_ = r.close() // nobody has had it
		_ = os.RemoveAll(r.dir)
		return err
	}
	r.dir = place
	return nil
}
