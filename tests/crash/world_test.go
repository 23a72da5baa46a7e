package crash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// The rings of every world: who is attached to other must not notice anything.
const (
	ringOther = "{name: other, capacity: 64KiB, consumers_max: 2}"
	ringMD    = "{name: md, capacity: 64KiB, consumers_max: 3, resume_for: 1h}"
	ringMany  = "{name: many, capacity: 64KiB, consumers_max: 2, producers: many}"
)

// world is a daemon of one step's own, with a client that is to be interrupted and
// another one that is not to notice.
type world struct {
	t *testing.T
	harness.Place
	d  *harness.Daemon
	c  *client.Client
	by bystander

	// What operations keep from one function to the next.
	producer *client.Producer
	reader   *client.Consumer
	ring     client.Ring
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, Place: harness.NewPlace(t, binaries, "["+strings.Join([]string{ringOther, ringMD, ringMany}, ", ")+"]")}
	w.d = w.Start()
	w.c = w.Dial()
	w.by = newBystander(w)
	return w
}

// must ends the test unless all went well.
func (w *world) must(errs ...error) {
	w.t.Helper()
	if err := errors.Join(errs...); err != nil {
		w.t.Fatal(err)
	}
}

// describe returns a ring.
func (w *world) describe(name string) client.RingDetails {
	w.t.Helper()
	r, err := w.Dial().DescribeRing(harness.Bounded(w.t), name)
	w.must(err)
	return r
}

// names lists the rings.
func (w *world) names() (names []string) {
	w.t.Helper()
	rings, err := w.Dial().Rings(harness.Bounded(w.t))
	w.must(err)
	for _, r := range rings {
		names = append(names, r.Name)
	}
	return names
}

// wantWhole compares the directory, the memory and the problems with the rings that
// the daemon lists.
func (w *world) wantWhole(quarantined int) {
	w.t.Helper()
	c := w.Dial()
	status, err := c.Status(harness.Bounded(w.t))
	w.must(err)
	rings, err := c.Rings(harness.Bounded(w.t))
	w.must(err)
	memory := status.QuarantinedBytes
	want := append([]string{".lock"}, status.Quarantined...)
	for _, r := range rings {
		memory += r.MemoryBytes
		want = append(want, r.Name)
		w.wantFiles(r)
	}
	if got := entries(w.t, w.Dir); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		w.t.Errorf("there are %q, want %q", got, want)
	}
	if status.MemoryBytes != memory {
		w.t.Errorf("%d bytes in use, the rings and what is quarantined take %d", status.MemoryBytes, memory)
	}
	if len(status.Quarantined) != quarantined || len(status.Problems) != quarantined {
		w.t.Errorf("quarantined %q, want %d; problems %q", status.Quarantined, quarantined, status.Problems)
	}
	for _, p := range status.Problems {
		if !strings.Contains(p, "brokerctl gc") || strings.Contains(p, "nothing is written down") {
			w.t.Errorf("%q does not say why, or what to do", p)
		}
	}
}

// wantFiles wants the files of a ring and no others.
func (w *world) wantFiles(r client.Ring) {
	w.t.Helper()
	want := []string{}
	for slot := range r.ConsumersMax {
		want = append(want, fmt.Sprintf("c%02d", slot))
	}
	want = append(want, "data", "meta.json", "slots")
	if got := entries(w.t, filepath.Join(w.Dir, r.Name)); !slices.Equal(got, want) {
		w.t.Errorf("ring %s has the files %q, want %q", r.Name, got, want)
	}
}

func entries(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// bystander publishes and reads all the while, and is to miss nothing.
type bystander struct {
	w         *world
	p         *client.Producer
	r         *client.Consumer
	published int
}

func newBystander(w *world) bystander {
	w.t.Helper()
	c := w.Dial()
	p, err := c.Producer(harness.Bounded(w.t), "other", client.ProducerOptions{Name: "by"})
	w.must(err)
	r, err := c.Consumer(harness.Bounded(w.t), "other", client.ConsumerOptions{Name: "by", Policy: client.PolicyBlock})
	w.must(err)
	return bystander{w: w, p: p, r: r}
}

// publish publishes some records.
func (b *bystander) publish() {
	b.w.t.Helper()
	const burst = 3
	for range burst {
		b.w.must(b.p.Send(harness.Bounded(b.w.t), fmt.Append(nil, b.published)))
		b.published++
	}
}

// wantAll reads what was published, and wants both attachments as they were.
func (b *bystander) wantAll() {
	b.w.t.Helper()
	for i := range b.published {
		if got, err := b.r.TryReceive(); err != nil || string(got.Payload) != fmt.Sprint(i) {
			b.w.t.Fatalf("the bystander got %q, %v, want record %d", got.Payload, err, i)
		}
	}
	if s := b.r.Stats(); s.MissedRecords+s.GapRecords != 0 || s.Sequence != uint64(b.published) {
		b.w.t.Errorf("the bystander's figures: %+v", s)
	}
	c := b.w.Dial()
	harness.Eventually(b.w.t, "the bystander is attached as before", func() bool {
		list := harness.Attachments(b.w.t, c, "other")
		return len(list) == 2 && list[0].ID == b.r.ID() && list[1].ID == b.p.ID() &&
			list[0].State == client.StateAttached && list[1].State == client.StateAttached
	})
}
