package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestPrepareFolderCreatesWithTheRightMode(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	// The owner of what a test creates is the one who runs it, so "another uid"
	// is checked separately, and root's folder only by root.
	for uid, want := range map[int]os.FileMode{0: rootFolderMode, 1001: userFolderMode} {
		path := filepath.Join(t.TempDir(), "brokerd")
		err := prepareFolder(path, uid)
		if err != nil && os.Geteuid() == 0 {
			t.Errorf("uid %d: %v", uid, err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("uid %d: mode %v, %v, want %v", uid, info.Mode(), err, want)
		}
		before := info.ModTime()
		if err := prepareFolder(path, os.Geteuid()); err != nil {
			t.Errorf("an existing folder of one's own: %v", err)
		}
		if info, _ := os.Stat(path); !info.ModTime().Equal(before) || info.Mode().Perm() != want {
			t.Error("an existing folder was changed")
		}
	}
}

func TestPrepareFolderRefuses(t *testing.T) {
	make := func(prepare func(path string) error) string {
		path := filepath.Join(t.TempDir(), "brokerd")
		if err := prepare(path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	folder := func(mode os.FileMode) func(string) error {
		return func(path string) error {
			if err := os.Mkdir(path, 0o700); err != nil {
				return err
			}
			return os.Chmod(path, mode)
		}
	}
	link := make(func(path string) error { return os.Symlink(t.TempDir(), path) })
	file := make(func(path string) error { return os.WriteFile(path, nil, 0o600) })
	open := make(folder(0o777))
	for _, c := range []struct{ path, want string }{
		{link, "symbolic link"},
		{file, "not a folder"},
		{open, "chmod o-w"},
		{filepath.Join(t.TempDir(), "a", "b"), "create the folder above"},
	} {
		err := prepareFolder(c.path, os.Geteuid())
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: got %v, want an error with %q and the path", c.path, err, c.want)
		}
	}
	sticky := make(folder(0o777 | os.ModeSticky))
	if err := prepareFolder(sticky, os.Geteuid()); err != nil {
		t.Errorf("a folder like /tmp: %v", err)
	}
}

func TestPrepareFolderRefusesAnotherOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to give a folder to somebody else")
	}
	path := filepath.Join(t.TempDir(), "brokerd")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		owner, uid int
		refused    bool
	}{{1001, 1001, false}, {0, 1001, false}, {1002, 1001, true}, {1002, 0, true}} {
		if err := os.Chown(path, c.owner, -1); err != nil {
			t.Fatal(err)
		}
		err := prepareFolder(path, c.uid)
		if (err != nil) != c.refused {
			t.Errorf("folder of uid %d, daemon of uid %d: got %v, refused should be %v", c.owner, c.uid, err, c.refused)
		}
		if err != nil && (!strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "belongs to uid 1002")) {
			t.Errorf("the refusal does not name folder and owner: %v", err)
		}
	}
}
