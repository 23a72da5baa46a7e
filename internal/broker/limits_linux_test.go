package broker

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"brokerd/internal/wire"
)

func TestLimitsAtAndPast(t *testing.T) {
	info, err := normalize(spec("x"))
	if err != nil {
		t.Fatal(err)
	}
	one := memoryBytes(info)
	for _, c := range []struct {
		limit  string
		limits Limits
		fits   int
	}{
		{"limits.rings", Limits{MemoryBytes: 1 << 30, Rings: 2}, 2},
		{"limits.rings", Limits{MemoryBytes: 1 << 30, Rings: 0}, 0},
		{"limits.memory", Limits{MemoryBytes: 2 * one, Rings: 10}, 2},
		{"limits.memory", Limits{MemoryBytes: 2*one - 1, Rings: 10}, 1},
		{"limits.memory", Limits{MemoryBytes: 0, Rings: 10}, 0},
	} {
		b, _ := open(t, tmpfsDir(t), c.limits)
		names := []string{"r0", "r1", "r2"}
		for _, name := range names[:c.fits] {
			mustCreate(t, b, spec(name))
		}
		_, err := b.CreateRing(spec(names[c.fits]), 0)
		var e *wire.Error
		var p wire.LimitExceededParameters
		if !errors.As(err, &e) || e.Name != wire.ErrLimitExceeded || e.Decode(&p) != nil || p.Limit != c.limit || p.Used+p.Wanted <= p.Max {
			t.Errorf("%+v: %v, %+v", c.limits, err, p)
		}
		if c.fits == 0 {
			continue
		}
		if err := b.RemoveRing("r0", false); err != nil {
			t.Fatal(err)
		}
		mustCreate(t, b, spec(names[c.fits])) // there is room again
	}
}

// Rings that an earlier, larger configuration allowed are kept, and told of.
func TestAdoptedPastLimits(t *testing.T) {
	b, _ := open(t, tmpfsDir(t), generous)
	one := mustCreate(t, b, spec("a")).MemoryBytes
	mustCreate(t, b, spec("b"))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for want, limits := range []Limits{
		{MemoryBytes: 2 * one, Rings: 2}, {MemoryBytes: 2*one - 1, Rings: 2}, {MemoryBytes: 2 * one, Rings: 1},
	} {
		b, _ := open(t, b.dir, limits)
		if s := b.Status(); s.Rings != 2 || len(s.Problems) != min(want, 1) {
			t.Errorf("%+v: %+v", limits, s)
		}
		if _, _, err := b.Reconcile([]wire.RingSpec{spec("a")}); err != nil {
			t.Error(err)
		}
		if _, err := b.CreateRing(spec("c"), 0); !errors.Is(err, wire.ErrLimitExceeded) {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTmpfsFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small tmpfs")
	}
	mount := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "tmpfs", mount).CombinedOutput(); err != nil {
		t.Skipf("needs to mount a tmpfs: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = unix.Unmount(mount, unix.MNT_DETACH) })
	dir := filepath.Join(mount, "rings")
	b, _ := open(t, dir, generous)
	mustCreate(t, b, spec("small"))
	free := freeBytes(dir)
	big := spec("big")
	big.Capacity = 1 << 20
	_, err := b.CreateRing(big, 0)
	var e *wire.Error
	var p wire.NoSpaceParameters
	if !errors.As(err, &e) || e.Name != wire.ErrNoSpace || e.Decode(&p) != nil {
		t.Fatalf("%v", err)
	}
	if p.Dir != dir || p.WantedBytes <= 1<<20 || p.FreeBytes == 0 || p.FreeBytes > 1<<20 {
		t.Errorf("%+v", p)
	}
	t.Log(e.Message)
	if now := freeBytes(dir); now != free {
		t.Errorf("a failed creation left %d bytes behind", free-now)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("a failed creation left %v (%v)", entries, err)
	}
	if s := b.Status(); s.Rings != 1 {
		t.Errorf("status: %+v", s)
	}
	// A full tmpfs does not keep anybody from attaching to what is there.
	fillDisk(t, filepath.Join(mount, "fill"))
	mustAttach(t, b, request(1, self(t), "small", wire.RoleConsumer))
	mustAttach(t, b, request(1, self(t), "small", wire.RoleProducer))
	if err := b.RemoveRing("small", true); err != nil {
		t.Error(err)
	}
}

func fillDisk(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			if !isNoSpace(err) {
				t.Fatal(err)
			}
			return
		}
	}
}
