package crash

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"brokerd/client"
	"brokerd/internal/unixconn"
	"brokerd/internal/wire"
	"brokerd/tests/internal/harness"
)

func isRemoved(err error) bool {
	var e *client.RemovedError
	return errors.As(err, &e) && e.Current != e.Epoch || errors.Is(err, client.ErrRemoved)
}

func isCorrupt(err error) bool {
	var e *client.CorruptError
	return errors.As(err, &e) && e.Current != e.Epoch || errors.Is(err, client.ErrRemoved)
}

// wantHolds waits until the daemon lists that of a ring, and no more.
func (w *world) wantHolds(ring string, want ...string) {
	w.t.Helper()
	var got []string
	c := w.Dial()
	harness.Eventually(w.t, "attachments as they were told", func() bool {
		got = nil
		for _, a := range harness.Attachments(w.t, c, ring) {
			got = append(got, a.ID+" "+string(a.State))
		}
		return slices.Equal(got, want)
	})
}

func (w *world) attachProducer(ring string) (err error) {
	w.producer, err = w.c.Producer(harness.Bounded(w.t), ring, client.ProducerOptions{Name: "p"})
	return err
}

func (w *world) attachReader(o client.ConsumerOptions) (err error) {
	w.reader, err = w.c.Consumer(harness.Bounded(w.t), "md", o)
	return err
}

// flows publishes a record and reads it.
func (w *world) flows(payload string) {
	w.t.Helper()
	w.must(w.producer.Send(harness.Bounded(w.t), []byte(payload)))
	if got, err := w.reader.Receive(harness.Bounded(w.t)); err != nil || string(got.Payload) != payload {
		w.t.Errorf("got %q, %v, want %q", got.Payload, err, payload)
	}
}

func TestAttachProducer(t *testing.T) {
	t.Parallel()
	killEverywhere(t, operation{
		name:    "attach as the producer",
		prepare: func(w *world) { w.must(w.attachReader(client.ConsumerOptions{})) },
		do:      func(w *world) error { return w.attachProducer("md") },
		check: func(w *world, _ bool, err error) {
			w.must(err)
			w.flows("first")
			w.wantHolds("md", w.reader.ID()+" attached", w.producer.ID()+" attached")
		},
	})
}

func TestAttachReader(t *testing.T) {
	t.Parallel()
	killEverywhere(t, operation{
		name:    "attach as a second reader",
		prepare: func(w *world) { w.must(w.attachProducer("md"), w.attachReader(client.ConsumerOptions{})) },
		do: func(w *world) error {
			first := w.reader
			err := w.attachReader(client.ConsumerOptions{Policy: client.PolicyBlock})
			if err == nil && first.ID() == w.reader.ID() {
				return errors.New("both have one slot")
			}
			return err
		},
		check: func(w *world, _ bool, err error) {
			w.must(err)
			w.flows("first")
			w.wantHolds("md", "md/c0.1 attached", w.reader.ID()+" attached", w.producer.ID()+" attached")
		},
	})
}

// lentSlots counts the slots that a ring itself takes for lent: offConsumerMask and
// offProducerMask of docs/MEMORY_LAYOUT.md.
func (w *world) lentSlots(ring string) (consumers, producers int) {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.Dir, ring, "data"))
	w.must(err)
	return bits.OnesCount64(binary.LittleEndian.Uint64(data[0x108:])), bits.OnesCount64(binary.LittleEndian.Uint64(data[0x120:]))
}

// TestAttachNotAgain is of a process that lives and does not come back for what it was
// not told of: the ring and the list of attachments say the same.
func TestAttachNotAgain(t *testing.T) {
	t.Parallel()
	for _, role := range []client.Role{client.RoleConsumer, client.RoleProducer} {
		t.Run(string(role), func(t *testing.T) {
			killEverywhere(t, operation{
				name: "attach as a " + string(role) + " that does not ask again",
				do: func(w *world) error {
					raw, err := harness.DialRaw(w.Socket)
					if err != nil {
						return err
					}
					w.t.Cleanup(func() { _ = raw.Conn.Close() })
					files, err := raw.Call(wire.MethodAttach, wire.AttachIn{Ring: "many", Role: role}, nil)
					unixconn.CloseFiles(files)
					return err
				},
				check: func(w *world, killed bool, err error) {
					if !killed {
						w.must(err)
					}
					list := harness.Attachments(w.t, w.Dial(), "many")
					consumers, producers := w.lentSlots("many")
					if consumers+producers != len(list) || len(list) > 1 {
						w.t.Errorf("%d consumers and %d producers are lent, listed are %+v", consumers, producers, list)
					}
				},
			})
		})
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	named := client.ConsumerOptions{Name: "kept", From: client.FromResume()}
	killEverywhere(t, operation{
		name: "resume a cursor",
		prepare: func(w *world) {
			w.must(w.attachProducer("md"), w.attachReader(named))
			w.flows("read")
			w.must(w.reader.Close(), w.producer.Send(harness.Bounded(w.t), []byte("to be read")))
			w.wantHolds("md", "md/c0.1 resumable", w.producer.ID()+" attached")
		},
		do: func(w *world) error { return w.attachReader(named) },
		check: func(w *world, _ bool, err error) {
			w.must(err)
			if got, err := w.reader.Receive(harness.Bounded(w.t)); err != nil || string(got.Payload) != "to be read" || !w.reader.Resumed() {
				w.t.Errorf("%q, %v, resumed %v", got.Payload, err, w.reader.Resumed())
			}
			w.flows("next")
			w.wantHolds("md", w.reader.ID()+" attached", w.producer.ID()+" attached")
		},
	})
}

func TestDetachReader(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options client.ConsumerOptions
		left    []string
	}{
		"detach a reader":                      {client.ConsumerOptions{Policy: client.PolicyBlock}, nil},
		"detach a reader that leaves a cursor": {client.ConsumerOptions{Name: "kept"}, []string{"md/c0.1 resumable"}},
	} {
		t.Run(name, func(t *testing.T) {
			killEverywhere(t, operation{
				name:    name,
				prepare: func(w *world) { w.must(w.attachReader(c.options)) },
				do:      func(w *world) error { return w.reader.Close() },
				check: func(w *world, _ bool, err error) {
					w.must(err)
					w.wantHolds("md", c.left...)
				},
			})
		})
	}
}

func TestProducersOfMany(t *testing.T) {
	t.Parallel()
	t.Run("attach", func(t *testing.T) {
		killEverywhere(t, operation{
			name:    "attach as one of many producers",
			prepare: func(w *world) { w.must(w.attachProducer("many")) },
			do:      func(w *world) error { return w.attachProducer("many") },
			check: func(w *world, _ bool, err error) {
				w.must(err)
				w.must(w.producer.Send(harness.Bounded(w.t), []byte("on")))
				w.wantHolds("many", "many/p0.1 attached", w.producer.ID()+" attached")
			},
		})
	})
	t.Run("detach", func(t *testing.T) {
		killEverywhere(t, operation{
			name: "detach one of many producers, with a record begun",
			prepare: func(w *world) {
				w.must(w.attachProducer("many"))
				_, err := w.producer.Reserve(harness.Bounded(w.t), 8)
				w.must(err)
			},
			do: func(w *world) error { return w.producer.Close() },
			check: func(w *world, _ bool, err error) {
				w.must(err)
				w.wantHolds("many")
				w.must(w.attachProducer("many"))
				w.must(w.producer.Send(harness.Bounded(w.t), []byte("on")), w.producer.Close())
				w.wantHolds("many")
			},
		})
	})
}
