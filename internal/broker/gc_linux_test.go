package broker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"brokerd/internal/wire"
)

// What can be deleted is, once; what is no ring, or in use, is not.
func TestCollectGarbage(t *testing.T) {
	b, events := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	mustCreate(t, b, spec("good"))
	spoil(t, b, "md")
	b.succeedAll()
	at := func(name string) string { return filepath.Join(b.dir, name) }
	if err := errors.Join(os.Mkdir(at(".new-x-1"), 0o700), os.Mkdir(at(".rm-y-2"), 0o700), os.Mkdir(at(".new-busy-3"), 0o700),
		os.WriteFile(at("file"), []byte("mine"), 0o600), os.Mkdir(at("later"), 0o700), os.WriteFile(at("later/"+metaName), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	b.pending[".new-busy-3"] = reservation{name: "busy"}
	var dry []wire.Garbage
	for range 2 {
		var err error
		if dry, _, err = b.CollectGarbage(true); err != nil {
			t.Fatal(err)
		}
	}
	kinds := map[string]wire.GarbageKind{}
	for _, g := range dry {
		if g.Deleted || g.Why == "" || g.Advice == "" || g.SinceNS == 0 {
			t.Errorf("%+v", g)
		}
		kinds[filepath.Base(g.Path)] = g.Kind
	}
	set := b.Status().Quarantined[0]
	want := map[string]wire.GarbageKind{set: wire.GarbageQuarantined, ".new-x-1": wire.GarbageUnfinished, ".rm-y-2": wire.GarbageUnfinished,
		"file": wire.GarbageForeign, "later": wire.GarbageForeign}
	for name, kind := range want {
		if kinds[name] != kind {
			t.Errorf("%s is %q, want %q", name, kinds[name], kind)
		}
	}
	if len(kinds) != len(want) {
		t.Errorf("%+v", dry)
	}
	found, more, err := b.CollectGarbage(false)
	if err != nil || more != 0 || len(found) != len(dry) || events.count(EventCollected) != 3 {
		t.Fatalf("%+v, %d, %v", found, more, err)
	}
	for name, kind := range want {
		if exists(at(name)) != (kind == wire.GarbageForeign) {
			t.Errorf("%s: there is %v", name, exists(at(name)))
		}
	}
	if s := b.Status(); s.QuarantinedBytes != 0 || len(s.Quarantined) != 0 || len(s.Problems) != 2 || s.Rings != 2 {
		t.Errorf("%+v", s)
	}
	if !exists(at(".new-busy-3")) {
		t.Error("what was being built is gone")
	}
	delete(b.pending, ".new-busy-3")
}

// A name that only begins as one of ours is somebody else's: neither the start nor
// CollectGarbage touches what has it.
func TestAlmostOurNames(t *testing.T) {
	dir := tmpfsDir(t)
	b, _ := open(t, dir, generous)
	at := func(name string) string { return filepath.Join(dir, name) }
	names := []string{".new-notes", ".rm-notes", ".new-_x-1", ".quarantine-mine", ".quarantine-file-20260101T000000.000001", ".quarantine-link-20260101T000000.000001"}
	for _, folder := range names[:4] {
		if err := os.MkdirAll(at(folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(at(names[4]), []byte("mine"), 0o600), os.Symlink(t.TempDir(), at(names[5])),
		os.Mkdir(at(".new-ring-7"), 0o700)); err != nil {
		t.Fatal(err)
	}
	b, events := restart(t, b)
	if exists(at(".new-ring-7")) || events.count(EventCollected) != 1 {
		t.Errorf("what a crash left is there: %v; told of: %d", exists(at(".new-ring-7")), events.count(EventCollected))
	}
	found, _, err := b.CollectGarbage(false)
	if err != nil || len(found) != len(names) || len(b.Status().Problems) != len(names) {
		t.Fatalf("%+v, %v, %q", found, err, b.Status().Problems)
	}
	for _, g := range found {
		if g.Kind != wire.GarbageForeign || g.Deleted || !exists(g.Path) {
			t.Errorf("%+v, there is %v", g, exists(g.Path))
		}
	}
}

// Things that are no rings are listed up to problemsMax, and counted beyond.
func TestGarbageIsBounded(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	for i := range problemsMax + 3 {
		if err := os.WriteFile(filepath.Join(b.dir, strings.Repeat("x", i+1)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, more, err := b.CollectGarbage(false)
	if err != nil || len(found) != problemsMax || more != 3 {
		t.Errorf("%d, %d, %v", len(found), more, err)
	}
}

// Something that cannot be deleted is told of until it can.
func TestCollectFails(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mount := filepath.Join(b.dir, ".rm-md-1", "busy")
	if err := os.MkdirAll(mount, 0o700); err != nil {
		t.Fatal(err)
	}
	unmount := bindMount(t, mount)
	found, _, err := b.CollectGarbage(false)
	if err != nil || len(found) != 1 || found[0].Deleted || !strings.Contains(found[0].Advice, "busy") {
		t.Fatalf("%+v, %v", found, err)
	}
	if p := b.Status().Problems; len(p) != 1 || !strings.Contains(p[0], "could not be deleted") {
		t.Errorf("%q", p)
	}
	b, _ = restart(t, b)
	if p := b.Status().Problems; len(p) != 1 {
		t.Errorf("after a restart: %q", p)
	}
	unmount()
	if found, _, err := b.CollectGarbage(false); err != nil || len(found) != 1 || !found[0].Deleted {
		t.Errorf("%+v, %v", found, err)
	}
	if p := b.Status().Problems; len(p) != 0 {
		t.Errorf("%q", p)
	}
}

// bindMount makes a folder one that cannot be deleted, until undo or the end of
// the test.
func bindMount(t *testing.T, dir string) (undo func()) {
	t.Helper()
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("needs the right to mount: %v", err)
	}
	var once sync.Once
	undo = func() {
		once.Do(func() {
			if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(undo)
	return undo
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
