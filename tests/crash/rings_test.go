package crash

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// small is a ring that is made by a call.
func small(name string) client.RingSpec {
	two := 2
	return client.RingSpec{Name: name, Capacity: 64 << 10, ConsumersMax: &two}
}

func (w *world) create(name string) error {
	_, err := w.c.CreateRing(harness.Bounded(w.t), small(name))
	return err
}

func (w *world) wantNames(names ...string) {
	w.t.Helper()
	if got := w.names(); !slices.Equal(got, names) {
		w.t.Errorf("rings %q, want %q", got, names)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	killEverywhere(t, operation{
		name: "create",
		do:   func(w *world) error { return w.create("new") },
		check: func(w *world, killed bool, err error) {
			if !killed {
				w.must(err)
			}
			there := slices.Contains(w.names(), "new")
			if again := w.create("new"); there != (again != nil) {
				w.t.Errorf("there was %v, creating it again says %v", there, again)
			} else {
				wantOneOf(w.t, "again", again, client.ErrRingExists)
			}
			w.wantNames("many", "md", "new", "other")
		},
	})
}

func TestRemove(t *testing.T) {
	t.Parallel()
	remove := func(w *world) error { return w.c.RemoveRing(harness.Bounded(w.t), "md", true) }
	killEverywhere(t, operation{
		name: "remove, of a ring with a reader and a producer",
		prepare: func(w *world) {
			var err, perr error
			w.reader, err = w.c.Consumer(harness.Bounded(w.t), "md", client.ConsumerOptions{Name: "r"})
			w.producer, perr = w.c.Producer(harness.Bounded(w.t), "md", client.ProducerOptions{})
			w.must(err, perr)
		},
		do: remove,
		check: func(w *world, killed bool, err error) {
			if !killed {
				w.must(err)
			}
			there := slices.Contains(w.names(), "md") && w.describe("md").Ring.Epoch == w.reader.Epoch()
			if there {
				harness.WaitAttached(w.t, w.Dial(), "md", 2)
				w.must(w.producer.Send(harness.Bounded(w.t), []byte("on")))
				if got, err := w.reader.Receive(harness.Bounded(w.t)); err != nil || string(got.Payload) != "on" {
					w.t.Errorf("a ring that is there: %q, %v", got.Payload, err)
				}
				w.must(remove(w))
				w.wantNames("many", "other")
			}
			// The configuration names it: the next daemon has made another one.
			if _, err := w.reader.Receive(harness.Bounded(w.t)); !isRemoved(err) {
				w.t.Errorf("the reader: %v", err)
			}
			w.must(w.Dial().Close())
			if _, err := w.c.Reload(harness.Bounded(w.t)); err != nil {
				w.t.Error(err)
			}
			w.wantNames("many", "md", "other")
		},
	})
}

func TestReload(t *testing.T) {
	t.Parallel()
	reload := func(w *world) error {
		_, err := w.c.Reload(harness.Bounded(w.t))
		return err
	}
	killEverywhere(t, operation{
		name: "reload, with two new rings, one gone and rights changed",
		prepare: func(w *world) {
			rights := "allow: {consume: {users: [nobody]}}}"
			w.Configure("[" + ringOther + ", " + strings.TrimSuffix(ringMD, "}") + ", " + rights + ", {name: n1, capacity: 64KiB, consumers_max: 1}, {name: n2, capacity: 64KiB, consumers_max: 1}]")
		},
		do: reload,
		check: func(w *world, killed bool, err error) {
			if !killed {
				w.must(err)
			}
			w.wantNames("many", "md", "n1", "n2", "other")
			for range 2 {
				if r := w.describe("md").Ring; r.Allow.Consume == nil || !r.Managed {
					w.t.Errorf("%+v", r)
				}
				if r := w.describe("many").Ring; r.Managed {
					w.t.Errorf("%+v", r)
				}
				w.must(reload(w))
			}
		},
	})
}

// spoil writes garbage over the header of a ring, as a hostile producer can.
func (w *world) spoil(name string) {
	w.t.Helper()
	f, err := os.OpenFile(filepath.Join(w.Dir, name, "data"), os.O_WRONLY, 0)
	w.must(err)
	_, err = f.WriteAt([]byte(strings.Repeat("garbage ", 64)), 0x180)
	w.must(err, f.Close())
}

// succeed has the daemon look at a spoilt ring, and waits for its successor.
func (w *world) succeed(name string) error {
	ctx := harness.Bounded(w.t)
	for {
		d, err := w.c.DescribeRing(ctx, name)
		if err != nil || d.Ring.Epoch != w.ring.Epoch {
			return err
		}
	}
}

func TestSuccessor(t *testing.T) {
	t.Parallel()
	killEverywhere(t, operation{
		name: "successor of a ring with garbage",
		left: 1,
		prepare: func(w *world) {
			w.must(w.create("made")) // no configuration would make it anew
			w.ring = w.describe("made").Ring
			var err error
			w.reader, err = w.c.Consumer(harness.Bounded(w.t), "made", client.ConsumerOptions{})
			w.must(err)
		},
		do: func(w *world) error {
			w.spoil("made")
			return w.succeed("made")
		},
		check: func(w *world, killed bool, err error) {
			if !killed {
				w.must(err)
			}
			w.wantNames("made", "many", "md", "other")
			now := w.describe("made")
			if now.Ring.Epoch <= w.ring.Epoch || now.Stats.State != client.StateLive || now.Ring.ConsumersMax != w.ring.ConsumersMax || now.Ring.Managed {
				w.t.Errorf("%+v after epoch %d", now, w.ring.Epoch)
			}
			if _, err := w.reader.Receive(harness.Bounded(w.t)); !isCorrupt(err) {
				w.t.Errorf("the reader: %v", err)
			}
			p, err := w.c.Producer(harness.Bounded(w.t), "made", client.ProducerOptions{})
			w.must(err)
			w.must(p.Send(harness.Bounded(w.t), []byte("on")), p.Close())
		},
	})
}

func TestGC(t *testing.T) {
	t.Parallel()
	killEverywhere(t, operation{
		name: "gc, of a quarantined ring and of two that are half there",
		prepare: func(w *world) {
			w.ring = w.describe("md").Ring
			w.spoil("md")
			w.must(w.succeed("md"))
			for _, folder := range []string{".rm-x-1", ".new-y-1"} {
				dir := filepath.Join(w.Dir, folder)
				w.must(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "data"), []byte("x"), 0o600), os.WriteFile(filepath.Join(dir, "slots"), nil, 0o600))
			}
		},
		do: func(w *world) error {
			_, err := w.c.CollectGarbage(harness.Bounded(w.t), false)
			return err
		},
		check: func(w *world, killed bool, err error) {
			if !killed {
				w.must(err)
			}
			out, err := w.c.CollectGarbage(harness.Bounded(w.t), false)
			w.must(err)
			if len(out.Garbage) > 1 || !killed && len(out.Garbage) > 0 {
				w.t.Errorf("%+v", out)
			}
			for _, g := range out.Garbage { // it was not its turn, and so it is whole
				if !g.Deleted || g.Kind != client.GarbageQuarantined || strings.Contains(g.Why, "nothing is written") || g.Bytes < w.ring.MemoryBytes {
					w.t.Errorf("%+v", g)
				}
			}
			w.wantNames("many", "md", "other")
		},
	})
}
