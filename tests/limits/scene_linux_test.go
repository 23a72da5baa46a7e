package limits

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	// guest has quotas, and may attach and create rings.
	guest = 65534
	// witnessRing is used before, while and after something has run out.
	witnessRing = "{name: witness, capacity: 64KiB}"
	mdRing      = "{name: md, capacity: 64KiB, allow: {consume: {users: [65534]}}}"
)

// scene is a daemon, and a client that is attached all the time.
type scene struct {
	harness.Place
	*harness.Daemon
	t        *testing.T
	fs       *tmpfs
	c        *client.Client
	producer *client.Producer
	reader   *client.Consumer
	sent     int
	undo     func() // of what reach did
	memory   func(kib uint64)
	web      *http.Client
	far      *scene // another host, in the rows that have one
}

func startScene(t *testing.T, fs, rings string, inside []string, more ...string) *scene {
	t.Helper()
	s := &scene{t: t, web: &http.Client{Timeout: harness.Patience}}
	s.Place, s.fs = newPlace(t, fs, "[]")
	s.Inside = inside
	s.configure(rings, more...)
	s.Daemon = s.Place.Start()
	s.c = s.Place.Dial()
	var err error
	if s.producer, err = s.c.Producer(harness.Bounded(t), "witness", client.ProducerOptions{}); err != nil {
		t.Fatal(err)
	}
	if s.reader, err = s.c.Consumer(harness.Bounded(t), "witness", client.ConsumerOptions{Policy: client.PolicyBlock}); err != nil {
		t.Fatal(err)
	}
	s.scrape() // opens the connection that later ones use
	return s
}

// configure makes guest an administrator, who may create rings.
func (s *scene) configure(rings string, more ...string) {
	s.t.Helper()
	s.Place.Configure("["+witnessRing+", "+rings+"]", more...)
	text, err := os.ReadFile(s.Place.Config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Place.Write(strings.Replace(string(text), "control:\n", fmt.Sprintf("control:\n  admin_group: \"%d\"\n", guest), 1))
}

// exchange moves a record from the producer to the reader that are there all along.
func (s *scene) exchange() {
	s.t.Helper()
	s.sent++
	want := fmt.Sprint("record ", s.sent)
	if err := s.producer.Send(harness.Bounded(s.t), []byte(want)); err != nil {
		s.t.Fatalf("whoever is attached cannot publish: %v", err)
	}
	if got, err := s.reader.Receive(harness.Bounded(s.t)); err != nil || string(got.Payload) != want {
		s.t.Fatalf("whoever is attached received %q, %v; want %q", got.Payload, err, want)
	}
}

// scrape reads the metrics, over one connection that stays open: a daemon without
// descriptors accepts no other.
func (s *scene) scrape() map[string]float64 {
	s.t.Helper()
	values, err := s.ScrapeWith(s.web)
	if err != nil {
		s.t.Fatal(err)
	}
	return values
}

// create makes a ring.
func (s *scene) create(name string) error {
	_, err := s.c.CreateRing(harness.Bounded(s.t), client.RingSpec{Name: name, Capacity: 64 << 10})
	return err
}

func (s *scene) remove(name string) {
	s.t.Helper()
	if err := s.c.RemoveRing(harness.Bounded(s.t), name, true); err != nil {
		s.t.Fatal(err)
	}
}

// attach attaches to md, on the connection of the scene.
func (s *scene) attach() (*client.Consumer, error) {
	return s.c.Consumer(harness.Bounded(s.t), "md", client.ConsumerOptions{})
}

// must is for what reaches a limit.
func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("before the limit: %v", err)
	}
}

// asGuest runs brokerctl as guest, to its end. The error is what it printed.
func (s *scene) asGuest(args ...string) error {
	p := harness.Launch(s.t, s.guestCommand(args...))
	if p.Wait() != 0 {
		return errors.New(strings.TrimSpace(p.Stderr.String()))
	}
	return nil
}

func (s *scene) guestCommand(args ...string) *exec.Cmd {
	return harness.AsUser(s.Place.Command(args...), guest, guest)
}

// guestReads starts a reader of guest's, and waits until n are attached to md.
func (s *scene) guestReads(n int) *harness.Process {
	s.t.Helper()
	r := harness.Launch(s.t, s.guestCommand("attach", "md", "--as", "consumer"))
	harness.WaitAttached(s.t, s.c, "md", n)
	return r
}

// reload reads the configuration again.
func (s *scene) reload() error {
	_, err := s.c.Reload(harness.Bounded(s.t))
	return err
}
