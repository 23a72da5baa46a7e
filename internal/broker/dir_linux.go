package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Refusals of Open.
var (
	// ErrNotTmpfs says that the directory lies on a file system that is not tmpfs.
	ErrNotTmpfs = errors.New("not on tmpfs")
	// ErrDirOwner says that somebody else owns the directory or may write to it.
	ErrDirOwner = errors.New("directory not the daemon's own")
	// ErrLocked says that another daemon uses the directory.
	ErrLocked = errors.New("in use by another daemon")
)

const (
	lockName = ".lock"
	dirMode  = 0o755

	// A second daemon may look between the first one's flock and its pid.
	lockPIDTriesMax     = 20
	lockPIDPauseMillis  = 5
	lockPIDBytesMax     = 32
	writableByOtherBits = 0o022
)

// prepareDir makes dir exist and checks that rings may live in it.
func prepareDir(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("ring directory %q: give an absolute path", dir)
	}
	if err := CheckDir(dir); err != nil {
		return err
	}
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := createDir(dir); err != nil {
			return err
		}
	}
	return checkOwner(dir)
}

func createDir(dir string) error {
	err := os.MkdirAll(dir, dirMode)
	if err == nil {
		err = os.Chmod(dir, dirMode) // whatever the umask is: clients may open ring files by path
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("ring directory %s: uid %d may not create it: create it for that user, or set dir to a folder it may write to: %w",
			dir, os.Geteuid(), err)
	}
	if err != nil {
		return fmt.Errorf("ring directory %s: %w", dir, err)
	}
	return nil
}

// CheckDir refuses, with ErrNotTmpfs, a directory that Open would not take
// whatever else is done. It looks at dir, or at the nearest folder above it that
// exists, so that nothing is created on a disk by mistake.
func CheckDir(dir string) error {
	var st unix.Statfs_t
	at := dir
	err := unix.Statfs(at, &st)
	for errors.Is(err, unix.ENOENT) && at != "/" {
		at = filepath.Dir(at)
		err = unix.Statfs(at, &st)
	}
	if err != nil {
		return fmt.Errorf("ring directory %s: statfs %s: %w", dir, at, err)
	}
	if st.Type != unix.TMPFS_MAGIC {
		return fmt.Errorf("ring directory %s is on %s, not tmpfs; rings are shared memory: set dir to a folder under /dev/shm, or mount a tmpfs there: %w",
			dir, fsName(int64(st.Type)), ErrNotTmpfs)
	}
	return nil
}

func fsName(magic int64) string {
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "xfs"
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlayfs"
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.RAMFS_MAGIC:
		return "ramfs"
	case unix.HUGETLBFS_MAGIC:
		return "hugetlbfs"
	case unix.PROC_SUPER_MAGIC:
		return "proc"
	case unix.SYSFS_MAGIC:
		return "sysfs"
	}
	return fmt.Sprintf("a file system of type 0x%x", magic)
}

// checkOwner refuses a directory in which another user could put files, or
// swap them: /dev/shm is open to everybody, so anybody may have been there
// first.
func checkOwner(dir string) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return fmt.Errorf("ring directory %s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("ring directory %s is a link or a file: remove it, or set dir to a folder: %w", dir, ErrDirOwner)
	}
	if uid := os.Geteuid(); int(st.Uid) != uid {
		return fmt.Errorf("ring directory %s belongs to uid %d and the daemon runs as uid %d: run it as that user, or set another dir: %w",
			dir, st.Uid, uid, ErrDirOwner)
	}
	if mode := st.Mode & 0o777; mode&writableByOtherBits != 0 {
		return fmt.Errorf("ring directory %s has mode %04o, so others may write to it: chmod 0755 %s: %w", dir, mode, dir, ErrDirOwner)
	}
	return nil
}

// lockDir takes the flock that keeps a second daemon out. The kernel drops it
// with the process, however that ends. The file is the caller's to unlockDir.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644) // os opens with O_CLOEXEC
	if err != nil {
		return nil, fmt.Errorf("ring directory %s: lock: %w", dir, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		holder := lockHolder(f)
		_ = f.Close()
		return nil, fmt.Errorf("ring directory %s belongs to the brokerd with pid %s: stop that one, or set another dir: %w", dir, holder, ErrLocked)
	}
	if err == nil {
		err = writeLockPID(f)
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("ring directory %s: lock: %w", dir, err)
	}
	return f, nil
}

func writeLockPID(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	if isNoSpace(err) { // the pid is for people; a full tmpfs must not keep a daemon from its rings
		return nil
	}
	return err
}

// lockHolder reads the pid of the daemon that holds the lock, as text.
func lockHolder(f *os.File) string {
	buf := make([]byte, lockPIDBytesMax)
	for range lockPIDTriesMax {
		n, _ := f.ReadAt(buf, 0) // io.EOF is the usual end
		if text := strings.TrimSpace(string(buf[:n])); text != "" {
			return text
		}
		time.Sleep(lockPIDPauseMillis * time.Millisecond)
	}
	return "unknown"
}

// unlockDir empties the lock file and lets go of it. The file itself stays: to
// unlink it would let two daemons lock two files of one name.
func unlockDir(f *os.File) error {
	err := f.Truncate(0)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("unlock: %w", err)
	}
	return nil
}

// freeBytes is what the file system of dir has left, 0 when it will not say.
func freeBytes(dir string) uint64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0
	}
	return st.Bavail * uint64(st.Bsize)
}

// hostFreeBytes is how much memory the host can still give, swap included; all
// there is when it does not say. A tmpfs may be larger than the memory behind it,
// and what it then reserves calls the OOM killer instead of failing.
func hostFreeBytes() uint64 {
	var info unix.Sysinfo_t
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil || unix.Sysinfo(&info) != nil {
		return math.MaxUint64
	}
	for line := range strings.Lines(string(text)) {
		var kib uint64
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			return kib<<10 + info.Freeswap*uint64(info.Unit)
		}
	}
	return math.MaxUint64
}

// isShortage tells that the daemon lacks something, whatever else err says.
func isShortage(err error) bool {
	return NoOpenFiles(err) || errors.Is(err, unix.ENOMEM) || isNoSpace(err)
}

// wayOut is what an operator can do about a shortage, "" for anything else.
func wayOut(err error) string {
	if NoOpenFiles(err) {
		return "; raise the limit of open files (ulimit -n, LimitNOFILE)"
	}
	return ""
}

func isNoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) }

// reserve makes f size bytes long, with memory behind every byte of it, so
// that a later write cannot fail for want of space.
func reserve(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fallocate", err)
		}
	}
}
