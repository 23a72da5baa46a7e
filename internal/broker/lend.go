package broker

import (
	"fmt"
	"os"

	"brokerd/internal/wire"
)

// lend opens the files of a slot: data first, then the cursor pages.
func (r *ring) lend(ref slotRef) ([]*os.File, wire.Files, error) {
	var data *os.File
	var cursors []*os.File
	var err error
	if ref.role == wire.RoleProducer {
		data, cursors, err = r.mem.LendProducer()
	} else {
		cursors = make([]*os.File, 1)
		data, cursors[0], err = r.mem.LendConsumer(ref.slot)
	}
	if err != nil {
		return nil, wire.Files{}, err
	}
	index := wire.Files{Data: 0, Cursors: make([]int, len(cursors))}
	for i := range cursors {
		index.Cursors[i] = i + 1
	}
	return append([]*os.File{data}, cursors...), index, nil
}

func (b *Broker) lendFailed(r *ring, err error) error {
	return fmt.Errorf("open the files of ring %s: %w", r.info.Name, b.judge(r, err))
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
