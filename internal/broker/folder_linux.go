package broker

import (
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// exchange has two folders change their names, at once for whoever looks.
func exchange(a, b string) error {
	err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	if err != nil {
		return &os.LinkError{Op: "exchange", Old: a, New: b, Err: err}
	}
	return nil
}

// folderBytes is the memory that a file, or a folder with all that is in it,
// takes: what it says of its size may be more or less. What cannot be read counts
// nothing.
func folderBytes(path string) (bytes uint64) {
	_ = filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil && unix.Lstat(path, &st) == nil {
			bytes += uint64(st.Blocks) * 512
		}
		return nil
	})
	return bytes
}
