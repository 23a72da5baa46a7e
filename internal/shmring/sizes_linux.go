package shmring

import (
	"os"

	"golang.org/x/sys/unix"
)

// sizeSlackBytes is what a file may take beyond its size: a huge page, where the
// tmpfs uses them.
const sizeSlackBytes = 2 << 20

// Trim gives back what processes have added to the files that they were lent: who
// may write a file may make it longer, or reserve memory behind its end, and the
// tmpfs is full for everybody. It returns the consumer slots whose page was made
// longer or shorter. The data file is Stats' to judge, and only trimmed here. An
// error of the system is for the caller to tell; the rest was done.
func (r *Ring) Trim() (slots []int, err error) {
	if _, terr := trim(r.data, r.config.dataBytes()); terr != nil {
		err = terr
	}
	for slot, f := range r.pages {
		if r.m.cursors[slot] == nil && r.ownGeneration(slot) == 0 {
			continue // never lent
		}
		changed, terr := trim(f, cursorPageBytes)
		if terr != nil {
			err = terr
		}
		if changed {
			slots = append(slots, slot)
		}
	}
	return slots, err
}

// trim cuts f to bytes where it has more, or takes much more. changed: its size was
// another one.
func trim(f *os.File, bytes uint64) (changed bool, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return false, err
	}
	changed = uint64(st.Size) != bytes
	if uint64(st.Size) > bytes || uint64(st.Blocks)*512 > bytes+sizeSlackBytes {
		return changed, f.Truncate(int64(bytes))
	}
	return changed, nil
}
