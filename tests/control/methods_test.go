package control

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/varlink/go/varlink"

	"brokerd/internal/wire"
)

// sample is how a method is called so that its reply has everything in it.
type sample struct {
	in    func(t *testing.T, w *world) any
	after func(t *testing.T, w *world, out json.RawMessage, files []*os.File) // may be nil
}

// world is what the samples have to work with.
type world struct {
	service *service
	conn    *varlink.Connection
	id      string // of an attachment that conn holds
}

type object = map[string]any

// samples has every method of the description. A method without one fails the
// test.
func samples() map[string]sample {
	nothing := func(*testing.T, *world) any { return nil }
	return map[string]sample{
		"GetInfo": {in: nothing},
		"GetInterfaceDescription": {in: func(*testing.T, *world) any {
			return object{"interface": wire.Interface}
		}},
		"CreateRing": {in: func(*testing.T, *world) any {
			all := object{"users": []string{"root"}, "groups": []string{"0"}}
			return object{"ring": object{
				"name": "made", "capacity": 128 << 10, "record_max": 1000, "producers": "many", "consumers_max": 2,
				"timestamps": true, "checksum": true, "policy": "latest", "demote_after_ns": 5_000_000, "resume_for_ns": 1_000_000_000,
				"allow": object{"produce": all, "consume": all, "gate": all},
			}}
		}},
		"RemoveRing": {in: func(t *testing.T, w *world) any {
			w.service.ring(t, wire.RingSpec{Name: "doomed"})
			return object{"name": "doomed", "force": true}
		}},
		"ListRings":    {in: nothing},
		"DescribeRing": {in: func(*testing.T, *world) any { return object{"name": "md"} }},
		"Attach": {
			in: func(*testing.T, *world) any {
				return object{"ring": "md", "role": "consumer", "name": "second", "policy": "block",
					"wait_strategy": "park", "token": "t2", "resume": true, "no_membarrier": false, "no_futex": false}
			},
			after: func(t *testing.T, w *world, out json.RawMessage, files []*os.File) {
				var a wire.AttachOut
				if err := json.Unmarshal(out, &a); err != nil {
					t.Fatal(err)
				}
				checkFiles(t, a, files)
			},
		},
		"Detach": {in: func(t *testing.T, w *world) any {
			var out wire.DescribeRingOut
			if err := w.conn.Call(deadline(t), wire.MethodDescribeRing, object{"name": "md"}, &out); err != nil {
				t.Fatal(explain(err))
			}
			return object{"id": w.id, "epoch": out.Ring.Epoch}
		}},
		"ListAttachments": {in: func(*testing.T, *world) any { return object{"ring": "md"} }},
		"Stats":           {in: func(*testing.T, *world) any { return object{"ring": "md", "interval_ms": 10} }},
		"ListLinks":       {in: nothing},
		"Reload":          {in: nothing},
		"GetStatus":       {in: nothing},
		"CollectGarbage": {in: func(t *testing.T, w *world) any {
			if err := os.WriteFile(filepath.Join(w.service.rings, "foreign"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return object{"dry_run": true}
		}},
	}
}

// checkFiles looks at what rode with the reply of a consumer's Attach.
func checkFiles(t *testing.T, a wire.AttachOut, files []*os.File) {
	t.Helper()
	if len(files) != 2 || len(a.Files.Cursors) != 1 || a.Files.Data == a.Files.Cursors[0] {
		t.Fatalf("%d descriptors with indexes %+v, want data and one cursor page", len(files), a.Files)
	}
	data, cursor := files[a.Files.Data], files[a.Files.Cursors[0]]
	if info, err := data.Stat(); err != nil || uint64(info.Size()) < a.Ring.Capacity {
		t.Errorf("the data file has %v bytes (%v), less than the capacity %d", info.Size(), err, a.Ring.Capacity)
	}
	if _, err := data.WriteAt([]byte{0}, 0); err == nil {
		t.Error("a consumer's data descriptor can be written to")
	}
	if info, err := cursor.Stat(); err != nil || info.Size() != 4096 {
		t.Errorf("the cursor page has %v bytes (%v), want 4096", info.Size(), err)
	}
}

// newWorld has one ring with one reader and one writer and one mirror, so that
// every list in every reply has an element.
func newWorld(t *testing.T) *world {
	w := &world{service: start(t)}
	w.conn = w.service.dial(t)
	root := &wire.Principals{Users: wire.List[string]{"root"}}
	w.service.ring(t, wire.RingSpec{Name: "md", Allow: &wire.Allow{Produce: root, Consume: root, Gate: root}})
	w.service.mirror(t, "md.b")
	for _, role := range []wire.Role{wire.RoleProducer, wire.RoleConsumer} {
		in := object{"ring": "md", "role": role, "name": "first", "wait_strategy": "spin"}
		var out wire.AttachOut
		files, err := w.conn.CallWithFDs(deadline(t), wire.MethodAttach, in, &out, nil)
		closeAll(files)
		if err != nil {
			t.Fatalf("attach as %s: %v", role, explain(err))
		}
		w.id = out.Attachment.ID
	}
	return w
}

// TestEveryMethodOfTheDescriptions fetches the descriptions as any client
// would, calls every method in them, and compares the reply.
func TestEveryMethodOfTheDescriptions(t *testing.T) {
	samples := samples()
	conn := start(t).dial(t)
	for _, iface := range []string{wire.ServiceInterface, wire.Interface} {
		text, err := conn.GetInterfaceDescription(deadline(t), iface)
		if err != nil {
			t.Fatal(err)
		}
		c := newChecker(t, text)
		if c.description.Name != iface {
			t.Fatalf("the description of %s is of %s", iface, c.description.Name)
		}
		for _, method := range c.description.Methods {
			s, ok := samples[method.Name]
			delete(samples, method.Name)
			if !ok {
				t.Errorf("%s.%s has no sample in this test", iface, method.Name)
				continue
			}
			t.Run(method.Name, func(t *testing.T) {
				w := newWorld(t)
				var out json.RawMessage
				files, err := w.conn.CallWithFDs(deadline(t), iface+"."+method.Name, s.in(t, w), &out, nil)
				defer closeAll(files)
				if err != nil {
					t.Fatal(explain(err))
				}
				if out == nil {
					out = json.RawMessage("{}") // a method without results may send no parameters
				}
				if err := c.check(out, method.Out, method.Name); err != nil {
					t.Fatalf("%v\nin %s", err, out)
				}
				if s.after != nil {
					s.after(t, w, out, files)
				} else if len(files) > 0 {
					t.Errorf("%d descriptors came with a reply that has none", len(files))
				}
			})
		}
		if never := c.neverSeen(); len(never) > 0 {
			t.Errorf("optional members that no reply had: %v", never)
		}
	}
	for name := range samples {
		t.Errorf("there is a sample for %s, which is not described", name)
	}
}

// TestStatsWithMore uses the library's own streaming.
func TestStatsWithMore(t *testing.T) {
	w := newWorld(t)
	c := newChecker(t, wire.Description)
	receive, err := w.conn.Send(deadline(t), wire.MethodStats, object{"interval_ms": 10}, varlink.More)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		var out json.RawMessage
		flags, err := receive(deadline(t), &out)
		if err != nil {
			t.Fatal(explain(err))
		}
		if flags&varlink.Continues == 0 {
			t.Fatal("the stream ended")
		}
		for _, m := range c.description.Methods {
			if m.Name != "Stats" {
				continue
			}
			if err := c.check(out, m.Out, m.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
