package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHostsAreMadeAndRemovedTogether(t *testing.T) {
	b := &bench{dir: t.TempDir()}
	h, err := b.newHosts()
	if err != nil || h.a.name != "a" || h.z.name != "b" || h.a.core == h.z.core || h.a.dir == h.z.dir {
		t.Fatalf("hosts %+v %+v, error %v", h.a, h.z, err)
	}
	for range 2 { // the second time there is nothing to remove
		h.done()
		if left, err := os.ReadDir(b.dir); h != (hosts{}) || err != nil || len(left) != 0 {
			t.Errorf("left behind: %+v, %v, error %v", h, left, err)
		}
	}
	b.dir = filepath.Join(b.dir, "missing")
	if h, err := b.newHosts(); err == nil || h != (hosts{}) {
		t.Errorf("no folder to be in: hosts %+v, error %v", h, err)
	}
}
