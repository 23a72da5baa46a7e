package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

func TestCreateListDescribeRemove(t *testing.T) {
	dir := tmpfsDir(t)
	b, events := open(t, dir, generous)
	if got := b.Rings(); len(got) != 0 {
		t.Fatalf("rings in an empty directory: %v", got)
	}
	created := mustCreate(t, b, spec("b"))
	mustCreate(t, b, spec("a"))
	rings := b.Rings()
	if len(rings) != 2 || rings[0].Name != "a" || rings[1] != created {
		t.Errorf("rings: %+v", rings)
	}
	if created.Epoch == 0 || created.CreatedNS == 0 || created.Managed || rings[0].Epoch == created.Epoch {
		t.Errorf("created: %+v", created)
	}
	if _, err := b.CreateRing(spec("a"), 0); !errors.Is(err, wire.ErrRingExists) {
		t.Errorf("created twice: %v", err)
	}
	d, err := b.DescribeRing("b")
	if err != nil || d.Ring != created || d.Stats.State != wire.StateLive || d.Stats.Epoch != created.Epoch || len(d.Attachments) != 0 {
		t.Errorf("describe: %+v, %v", d, err)
	}
	if err := b.RemoveRing("b", false); err != nil {
		t.Fatal(err)
	}
	if _, err := b.DescribeRing("b"); !errors.Is(err, wire.ErrRingNotFound) {
		t.Errorf("describe a removed ring: %v", err)
	}
	if err := b.RemoveRing("b", true); !errors.Is(err, wire.ErrRingNotFound) {
		t.Errorf("remove it twice: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || entries[0].Name() != lockName || entries[1].Name() != "a" {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
	again := mustCreate(t, b, spec("b"))
	if again.Epoch <= created.Epoch {
		t.Errorf("epoch %d after %d", again.Epoch, created.Epoch)
	}
	if events.count(EventCreated) != 3 || events.count(EventRemoved) != 1 {
		t.Errorf("events: %s", events)
	}
}

// Epochs grow whatever the clock does, over restarts too.
func TestEpochsGrow(t *testing.T) {
	dir := tmpfsDir(t)
	var last uint64
	for _, seconds := range []int64{1000, 1000, 500, 2000} {
		b, err := Open(Options{Dir: dir, Limits: generous, Now: func() time.Time { return time.Unix(seconds, 0) }})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			r := mustCreate(t, b, spec(fmt.Sprintf("r%d.%d", last, i)))
			if r.Epoch <= last || r.CreatedNS != seconds*1e9 {
				t.Errorf("at %d s: %+v after epoch %d", seconds, r, last)
			}
			last = r.Epoch
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if last != 2000e6+1 {
		t.Errorf("the last epoch is %d", last)
	}
}

func TestUnknownNames(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	for _, name := range []string{"", "nobody", "../x", strings.Repeat("x", 300), "a\x00b"} {
		if _, err := b.DescribeRing(name); !errors.Is(err, wire.ErrRingNotFound) {
			t.Errorf("describe %q: %v", name, err)
		}
		if err := b.RemoveRing(name, true); !errors.Is(err, wire.ErrRingNotFound) || len(err.Error()) > 300 {
			t.Errorf("remove %q: %v", name, err)
		}
		if name == "" {
			continue // means every ring
		}
		if _, err := b.Stats(name); !errors.Is(err, wire.ErrRingNotFound) {
			t.Errorf("stats of %q: %v", name, err)
		}
	}
}

// Files are the daemon's alone, and exactly as large as the accounts say.
func TestFilesOnDisk(t *testing.T) {
	dir := tmpfsDir(t)
	b, _ := open(t, dir, generous)
	r := mustCreate(t, b, spec("md"))
	info, err := os.Stat(filepath.Join(dir, "md"))
	if err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
	files, err := os.ReadDir(filepath.Join(dir, "md"))
	if err != nil {
		t.Fatal(err)
	}
	var bytes uint64
	for _, f := range files {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, "md", f.Name()), &st); err != nil {
			t.Fatal(err)
		}
		if st.Mode != unix.S_IFREG|0o600 || int(st.Uid) != os.Geteuid() {
			t.Errorf("%s: mode %o, uid %d", f.Name(), st.Mode, st.Uid)
		}
		if f.Name() != metaName {
			bytes += uint64(st.Blocks) * 512
		}
	}
	if bytes != r.MemoryBytes {
		t.Errorf("the files hold %d bytes, the accounts say %d", bytes, r.MemoryBytes)
	}
	if s := b.Status(); s.MemoryBytes != bytes || s.Rings != 1 || s.RingsMax != 16 || s.MemoryBytesMax != 64<<20 || s.Dir != dir {
		t.Errorf("status: %+v", s)
	}
}

func TestNameInTheWay(t *testing.T) {
	dir := tmpfsDir(t)
	b, _ := open(t, dir, generous)
	path := filepath.Join(dir, "md")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := b.CreateRing(spec("md"), 0)
	if !errors.Is(err, wire.ErrRingExists) || !strings.Contains(err.Error(), path+" is in the way") {
		t.Errorf("%v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "mine" {
		t.Errorf("the file now: %q, %v", text, err)
	}
}

func TestCreateAtOnce(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	var wg sync.WaitGroup
	var mu sync.Mutex
	worked, exists := 0, 0
	for range 8 {
		wg.Go(func() {
			_, err := b.CreateRing(spec("md"), 0)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				worked++
			case errors.Is(err, wire.ErrRingExists):
				exists++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if worked != 1 || exists != 7 {
		t.Errorf("%d created it, %d were told that it exists", worked, exists)
	}
}

func TestRemoveWhileAttached(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	h := self(t)
	lease := mustAttach(t, b, request(1, h, "md", wire.RoleConsumer))
	mustAttach(t, b, request(1, h, "md", wire.RoleProducer))
	err := b.RemoveRing("md", false)
	var e *wire.Error
	var p wire.RingInUseParameters
	if !errors.As(err, &e) || e.Name != wire.ErrRingInUse || e.Decode(&p) != nil || p.Attachments != 2 {
		t.Fatalf("%v, %+v", err, p)
	}
	c := reader(t, lease, shmring.PolicyDemote)
	if _, err := c.TryReceive(); !errors.Is(err, shmring.ErrEmpty) {
		t.Errorf("before: %v", err)
	}
	if err := b.RemoveRing("md", true); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Receive(t.Context()); !errors.Is(err, shmring.ErrRemoved) {
		t.Errorf("a reader of a removed ring: %v", err)
	}
	if s := b.Status(); s.Attachments != 0 || s.MemoryBytes != 0 {
		t.Errorf("status: %+v", s)
	}
	b.ConnectionClosed(1) // finds nothing
}

// A reader that let go does not keep a ring from being removed.
func TestRemoveBesideZombie(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	mustCreate(t, b, spec("md"))
	mustAttach(t, b, request(1, self(t), "md", wire.RoleConsumer))
	b.ConnectionClosed(1)
	wantIDs(t, b, "md", "md/c0.1 detached")
	if err := b.RemoveRing("md", false); err != nil {
		t.Error(err)
	}
}
