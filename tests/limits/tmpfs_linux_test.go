package limits

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"brokerd/tests/internal/harness"
)

// tmpfs is a small one of a test's own.
type tmpfs struct {
	t    testing.TB
	path string
}

// newPlace is a place whose rings lie on a tmpfs of its own, mounted with options
// such as size=1m.
func newPlace(t testing.TB, options, rings string, more ...string) (harness.Place, *tmpfs) {
	t.Helper()
	p := harness.NewPlace(t, binaries, rings, more...)
	fs := &tmpfs{t, filepath.Join(p.Root, "small")}
	if err := os.Mkdir(fs.path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", fs.path, "tmpfs", 0, "mode=0755,"+options); err != nil {
		t.Skipf("needs to mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(fs.path, unix.MNT_DETACH) })
	p.Dir = filepath.Join(fs.path, "rings")
	p.Configure(rings, more...)
	return p, fs
}

func (f *tmpfs) remount(options string) {
	f.t.Helper()
	if err := unix.Mount("tmpfs", f.path, "tmpfs", unix.MS_REMOUNT, "mode=0755,"+options); err != nil {
		f.t.Fatalf("remount with %s: %v", options, err)
	}
}

func (f *tmpfs) stat() unix.Statfs_t {
	f.t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(f.path, &st); err != nil {
		f.t.Fatal(err)
	}
	return st
}

func (f *tmpfs) freeBytes() uint64 { return f.stat().Bavail * uint64(f.stat().Bsize) }

func (f *tmpfs) filler() string { return filepath.Join(f.path, "filler") }

// fill leaves so many bytes free.
func (f *tmpfs) fill(leave uint64) {
	f.t.Helper()
	if err := fillFile(f.filler(), f.freeBytes()-leave); err != nil {
		f.t.Fatal(err)
	}
	if free := f.freeBytes(); free != leave {
		f.t.Fatalf("%d bytes are free, want %d", free, leave)
	}
}

func (f *tmpfs) drain() {
	f.t.Helper()
	if err := os.RemoveAll(f.filler()); err != nil {
		f.t.Fatal(err)
	}
}

// fillFile makes a file of so many bytes, memory behind each of them.
func fillFile(path string, bytes uint64) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if bytes > 0 {
		err = unix.Fallocate(int(file.Fd()), 0, 0, int64(bytes))
	}
	return errors.Join(err, file.Close())
}

// takeInodes leaves so many files that can be made.
func (f *tmpfs) takeInodes(leave uint64) {
	f.t.Helper()
	if err := os.Mkdir(f.filler(), 0o700); err != nil {
		f.t.Fatal(err)
	}
	for f.stat().Ffree > leave {
		file, err := os.CreateTemp(f.filler(), "")
		if err != nil {
			f.t.Fatal(err)
		}
		_ = file.Close()
	}
}

// shortages are what a tmpfs can be full of.
func shortages() map[string]func(*tmpfs) {
	return map[string]func(*tmpfs){
		"bytes": func(fs *tmpfs) { fs.fill(0) },
		"files": func(fs *tmpfs) { fs.takeInodes(0) },
	}
}
