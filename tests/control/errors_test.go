package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/varlink/go/varlink"

	"brokerd/internal/wire"
)

// explain adds the message to an error of the library, which has only the name.
func explain(err error) error {
	var e *varlink.Error
	if raw := rawParameters(err); errors.As(err, &e) && raw != nil {
		return fmt.Errorf("%w %s", err, raw)
	}
	return err
}

func rawParameters(err error) json.RawMessage {
	var e *varlink.Error
	if !errors.As(err, &e) {
		return nil
	}
	raw, _ := e.Parameters.(*json.RawMessage)
	if raw == nil {
		return nil
	}
	return *raw
}

// provocation is a call that gets an error.
type provocation struct {
	method  string
	in      any
	prepare func(t *testing.T, w *world) // may be nil
}

// provocations has every error of the description but those of unprovoked.
func provocations() map[string]provocation {
	attach := func(ring, role string) object { return object{"ring": ring, "role": role} }
	reader := func(ring string, resume bool) object {
		return object{"ring": ring, "role": "consumer", "name": "risk", "resume": resume}
	}
	return map[string]provocation{
		"RingNotFound":       {method: wire.MethodDescribeRing, in: object{"name": "nosuch"}},
		"RingExists":         {method: wire.MethodCreateRing, in: object{"ring": object{"name": "md", "capacity": 65536}}},
		"RingInUse":          {method: wire.MethodRemoveRing, in: object{"name": "md"}},
		"EpochChanged":       {method: wire.MethodAttach, in: object{"ring": "md", "role": "consumer", "epoch": 1}},
		"AttachmentNotFound": {method: wire.MethodDetach, in: object{"id": "md/c63.9"}},
		"ProducerPresent":    {method: wire.MethodAttach, in: attach("md", "producer")},
		"InvalidRing":        {method: wire.MethodCreateRing, in: object{"ring": object{"name": "x", "capacity": 65537}}},
		"LimitExceeded":      {method: wire.MethodCreateRing, in: object{"ring": object{"name": "x", "capacity": 1 << 30}}},
		"SlotsExhausted": {method: wire.MethodAttach, in: attach("small", "consumer"), prepare: func(t *testing.T, w *world) {
			w.service.ring(t, wire.RingSpec{Name: "small", ConsumersMax: ptr(1)})
			files, err := w.conn.CallWithFDs(deadline(t), wire.MethodAttach, attach("small", "consumer"), new(json.RawMessage), nil)
			closeAll(files)
			if err != nil {
				t.Fatal(explain(err))
			}
		}},
		"InvalidConfig": {method: wire.MethodReload, prepare: func(_ *testing.T, w *world) {
			w.service.spoilt.Store(true)
		}},
		"CursorInUse": {method: wire.MethodAttach, in: reader("kept", true), prepare: func(t *testing.T, w *world) {
			w.service.ring(t, wire.RingSpec{Name: "kept", ResumeForNS: ptr(int64(time.Hour))})
			files, err := w.conn.CallWithFDs(deadline(t), wire.MethodAttach, reader("kept", false), new(json.RawMessage), nil)
			closeAll(files)
			if err != nil {
				t.Fatal(explain(err)) // and this process lives
			}
		}},
		"NotReady": {method: wire.MethodAttach, in: attach("md", "consumer"), prepare: func(_ *testing.T, w *world) {
			w.service.state.Store(wire.DaemonDraining)
		}},
		"RingCorrupt": {method: wire.MethodAttach, in: attach("spoiled", "consumer"), prepare: func(t *testing.T, w *world) {
			w.service.ring(t, wire.RingSpec{Name: "spoiled"})
			for retired := false; !retired; { // it has two successors
				spoil(t, filepath.Join(w.service.rings, "spoiled", "data"))
				var out wire.DescribeRingOut
				for done := false; !done; { // the broker looks, and the daemon lives
					if err := w.conn.Call(deadline(t), wire.MethodDescribeRing, object{"name": "spoiled"}, &out); err != nil {
						t.Fatal(explain(err))
					}
					retired = len(out.Problems) > 0 && strings.Contains(out.Problems[0], "brokerctl gc")
					done = retired || out.Stats.State == wire.StateLive
				}
			}
		}},
	}
}

// spoil takes the memory away under a ring, as a malicious producer might.
func spoil(t *testing.T, path string) {
	t.Helper()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
}

// unprovoked errors are shown elsewhere.
func unprovoked() map[string]string {
	return map[string]string{
		"NoSpace":      "needs a full tmpfs: internal/broker has one",
		"AccessDenied": "needs another user: TestAnotherUser",
		"Failed":       "needs a fault of the daemon: internal/control provokes one",
	}
}

func TestEveryErrorOfTheDescription(t *testing.T) {
	c := newChecker(t, wire.Description)
	provocations, unprovoked := provocations(), unprovoked()
	for _, e := range c.description.Errors {
		provoke, ok := provocations[e.Name]
		if _, elsewhere := unprovoked[e.Name]; elsewhere {
			continue
		}
		if !ok {
			t.Errorf("error %s is neither provoked nor excused in this test", e.Name)
			continue
		}
		t.Run(e.Name, func(t *testing.T) {
			w := newWorld(t)
			if provoke.prepare != nil {
				provoke.prepare(t, w)
			}
			files, err := w.conn.CallWithFDs(deadline(t), provoke.method, provoke.in, new(json.RawMessage), nil)
			closeAll(files)
			if err == nil || err.Error() != wire.Interface+"."+e.Name {
				t.Fatalf("got %v", explain(err))
			}
			raw := rawParameters(err)
			if err := c.check(raw, e.Type, e.Name); err != nil {
				t.Fatalf("%v\nin %s", err, raw)
			}
			var said struct{ Message string }
			if err := json.Unmarshal(raw, &said); err != nil || len(strings.Fields(said.Message)) < 4 {
				t.Errorf("message %q is no sentence", said.Message)
			}
		})
	}
}

// TestErrorsOfTheService are those that the library knows by type.
func TestErrorsOfTheService(t *testing.T) {
	conn := start(t).dial(t)
	var noInterface *varlink.InterfaceNotFound
	if err := conn.Call(deadline(t), "com.example.Fly", nil, nil); !errors.As(err, &noInterface) || noInterface.Interface != "com.example" {
		t.Errorf("unknown interface: %v %+v", err, noInterface)
	}
	var noMethod *varlink.MethodNotFound
	if err := conn.Call(deadline(t), wire.Interface+".Fly", nil, nil); !errors.As(err, &noMethod) || noMethod.Method != wire.Interface+".Fly" {
		t.Errorf("unknown method: %v %+v", err, noMethod)
	}
	var invalid *varlink.InvalidParameter
	if err := conn.Call(deadline(t), wire.MethodDetach, object{"id": 7}, nil); !errors.As(err, &invalid) || invalid.Parameter != "id" {
		t.Errorf("wrong type: %v %+v", err, invalid)
	}
	receive, err := conn.Upgrade(deadline(t), wire.MethodGetStatus, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := receive(deadline(t), nil); !errors.As(err, &invalid) || invalid.Parameter != "upgrade" {
		t.Errorf("upgrade: %v %+v", err, invalid)
	}
}
