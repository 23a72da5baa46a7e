package shmring

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func blocksOf(t *testing.T, f *os.File) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks
}

// reserveBehind reserves memory without making the file longer.
func reserveBehind(f *os.File, bytes int64) error {
	return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, bytes)
}
