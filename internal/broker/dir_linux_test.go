package broker

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func refused(t *testing.T, dir string, want error, says ...string) {
	t.Helper()
	b, err := Open(Options{Dir: dir, Limits: generous})
	if err == nil {
		_ = b.Close()
		t.Fatalf("%s was opened", dir)
	}
	if want != nil && !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q does not say %q", err, text)
		}
	}
}

func TestSecondDaemon(t *testing.T) {
	dir := tmpfsDir(t)
	b, _ := open(t, dir, generous)
	mustCreate(t, b, spec("md"))
	pid := strconv.Itoa(os.Getpid())
	refused(t, dir, ErrLocked, "pid "+pid, dir)
	if text, err := os.ReadFile(filepath.Join(dir, lockName)); err != nil || string(text) != pid+"\n" {
		t.Errorf("lock file: %q, %v", text, err)
	}
	if len(b.Rings()) != 1 {
		t.Error("the second one disturbed the first")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	b, _ = open(t, dir, generous)
	if len(b.Rings()) != 1 {
		t.Error("the third one did not find the ring")
	}
}

func TestDirectoryCreated(t *testing.T) {
	dir := filepath.Join(tmpfsDir(t), "deep", "er")
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	open(t, dir, generous)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestDirectoryRefused(t *testing.T) {
	refused(t, "rings", nil, "absolute")

	disk := t.TempDir()
	var st unix.Statfs_t
	if err := unix.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	if st.Type != unix.TMPFS_MAGIC {
		dir := filepath.Join(disk, "a", "b")
		refused(t, dir, ErrNotTmpfs, dir, "is on "+fsName(int64(st.Type)), "/dev/shm")
		if _, err := os.Lstat(filepath.Dir(dir)); err == nil {
			t.Error("a refused directory was created")
		}
	}
	refused(t, "/proc/rings", ErrNotTmpfs, "is on proc")

	dir := tmpfsDir(t)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o775, 0o757} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		refused(t, dir, ErrDirOwner, "0"+strconv.FormatUint(uint64(mode), 8), "chmod 0755")
	}
	link := dir + ".link"
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	refused(t, link, ErrDirOwner, "link")
	if os.Geteuid() != 0 {
		return // the rest needs another user's folder
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, 4242, 4242)); err != nil {
		t.Fatal(err)
	}
	refused(t, dir, ErrDirOwner, "uid 4242", "uid 0")
}
