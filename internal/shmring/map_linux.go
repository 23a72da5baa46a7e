package shmring

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps size bytes of f, shared. Children of a fork do not get the
// mapping: a claim must never have two owners.
func mapFile(f *os.File, size uint64, write bool) ([]byte, error) {
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), prot, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of %s: %w", size, f.Name(), err)
	}
	if err := unix.Madvise(b, unix.MADV_DONTFORK); err != nil {
		return nil, errors.Join(fmt.Errorf("madvise %s: %w", f.Name(), err), unix.Munmap(b))
	}
	return b, nil
}

// populate maps the pages of b, which is writable. Where it fails (before Linux
// 5.14, or a file that somebody has truncated) they are mapped when they are used.
func populate(b []byte) { _ = unix.Madvise(b, unix.MADV_POPULATE_WRITE) }

func unmap(b []byte) error {
	if b == nil {
		return nil
	}
	return unix.Munmap(b)
}

// readHeader copies and checks the header page of a data file.
func readHeader(f *os.File) (Config, error) {
	info, err := f.Stat()
	if err != nil {
		return Config{}, err
	}
	header := make([]byte, headerBytes)
	if n, err := f.ReadAt(header, 0); err != nil {
		return Config{}, fmt.Errorf("%w: %d of %d header bytes could be read", ErrNotRing, n, headerBytes)
	}
	return DecodeHeader(header, uint64(info.Size()))
}

// lentHeader is readHeader of a file that the daemon lent. It lends rings only: what
// is none any more was written over, or truncated.
func lentHeader(f *os.File) (Config, error) {
	c, err := readHeader(f)
	if errors.Is(err, ErrNotRing) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return c, err
}

// allocate makes a file of size bytes whose memory is reserved now, so that a
// full tmpfs is a refusal here and never a SIGBUS later.
func allocate(path string, size uint64) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := reserve(f, size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// anonymous makes a file without a name. Only who was lent it maps it, so nobody
// can fill up what its memory comes from, and it is taken page by page.
func anonymous(name string, size uint64) (*os.File, error) {
	fd, err := unix.MemfdCreate("ring-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "memfd:ring-"+name)
	if err := f.Truncate(int64(size)); err != nil {
		return nil, errors.Join(fmt.Errorf("%d bytes for %s: %w", size, f.Name(), err), f.Close())
	}
	return f, nil
}

func reserve(f *os.File, size uint64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, int64(size))
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOSPC):
			return fmt.Errorf("%w: %d bytes for %s: %w", ErrNoSpace, size, f.Name(), err)
		}
		return fmt.Errorf("reserve %d bytes for %s: %w", size, f.Name(), err)
	}
}

// reopen gives a new open file description of f, with its own access mode: a
// read-only one can never be mapped writable.
func reopen(f *os.File, write bool) (*os.File, error) {
	flags := os.O_RDONLY
	if write {
		flags = os.O_RDWR
	}
	return os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), flags, 0)
}
