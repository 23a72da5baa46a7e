package limits

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const ringBytes = 217088 // that a ring of 64KiB takes, as limits.memory counts it

// ofTmpfs is what the file system of the rings has no room for.
func ofTmpfs() []limit {
	fill := func(leave uint64) func(*scene) {
		return func(s *scene) {
			s.fs.fill(leave)
			s.undo = s.fs.drain
		}
	}
	const full, inodes = "brokerd_refusals_total{limit=tmpfs}", "brokerd_refusals_total{limit=tmpfs_inodes}"
	return []limit{
		{name: "tmpfs", fs: "size=1m", is: client.ErrNoSpace, // to the page
			says:  []string{"create ring more: tmpfs of ", fmt.Sprintf("is full: %d bytes wanted, ", ringBytes), " free: remove rings, make the ring smaller, or enlarge it (mount -o remount,size=...)"},
			reach: fill(ringBytes - 2*4096),
			past:  func(s *scene) error { return s.create("more") }},
		{name: "tmpfs that is made smaller", series: full, fs: "size=64m", is: client.ErrNoSpace,
			says: []string{"create ring more: tmpfs of ", "is full: "},
			reach: func(s *scene) {
				s.fs.remount(fmt.Sprintf("size=%d", (s.fs.stat().Blocks-s.fs.stat().Bfree)*4096))
				s.undo = func() { s.fs.remount("size=64m") }
			},
			past: func(s *scene) error { return s.create("more") }},
		{name: "tmpfs_inodes", fs: "size=64m,nr_inodes=100", is: client.ErrNoSpace,
			says: []string{"create ring more: tmpfs of ", "takes no more files: 21 wanted, 19 left", "make rings with fewer consumers_max, or enlarge it (mount -o remount,nr_inodes=...)"},
			reach: func(s *scene) {
				s.fs.takeInodes(19)
				s.undo = s.fs.drain
			},
			past: func(s *scene) error { return s.create("more") }},
		{name: "tmpfs while a ring is described anew", series: full, fs: "size=2m", is: client.ErrInvalidConfig,
			says:  []string{"rings[1] (md): update the description of ring md: tmpfs of ", "is full: 4096 bytes wanted, 0 free"},
			reach: fill(0),
			past: func(s *scene) error {
				s.configure(strings.Replace(mdRing, "64KiB", "64KiB, policy: skip", 1))
				return s.reload()
			}},
		{name: "tmpfs inodes while a ring is described anew", series: inodes, fs: "size=2m,nr_inodes=100", is: client.ErrInvalidConfig,
			says: []string{"update the description of ring md: tmpfs of ", "takes no more files: 1 wanted, 0 left"},
			reach: func(s *scene) {
				s.fs.takeInodes(0)
				s.undo = s.fs.drain
			},
			past: func(s *scene) error {
				s.configure(strings.Replace(mdRing, "64KiB", "64KiB, policy: skip", 1))
				return s.reload()
			}},
		{name: "tmpfs while a journal is made", series: full, fs: "size=2m", more: gatewayYAML, is: client.ErrNoSpace,
			says:  []string{"make the journal of ring md: tmpfs of ", "is full: 16384 bytes wanted, 0 free"},
			reach: fill(0),
			past:  func(s *scene) error { return s.produceFromAfar() }},
		{name: "tmpfs while a mirror is made", series: full, fs: "size=2m", is: nil,
			says: []string{"create ring md.far: tmpfs of ", "is full: "},
			reach: func(s *scene) {
				s.fs.fill(0)
				s.undo = s.fs.drain
				s.far = startScene(s.t, "size=8m", mdRing, nil, gatewayYAML)
			},
			past: func(s *scene) error {
				s.configure(mdRing, fmt.Sprintf("gateway: {name: desk, tls: off, peers: [{name: far, address: %q, mirror: [{ring: md, as: md.far}]}]}", s.far.gateway()))
				s.must(s.reload())
				return s.mirrored("md.far")
			}},
	}
}

const gatewayYAML = "gateway: {name: far, listen: \"127.0.0.1:0\", tls: off, peers: [{name: desk, allow: {export: [md], import: [md], gate: [md]}}]}"

// gateway is where the scene's daemon listens for other hosts.
func (s *scene) gateway() string { return fmt.Sprint(s.Logged("gateway listens")["address"]) }

// dialAfar connects over TCP, for as long as a test can wait to be refused.
func (s *scene) dialAfar() (*client.Remote, error) {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	return client.DialTCP(ctx, client.TCPOptions{Address: s.gateway(), Plain: true, Name: "desk"})
}

// produceFromAfar publishes a record over TCP.
func (s *scene) produceFromAfar() error {
	r, err := s.dialAfar()
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := r.Producer(harness.Bounded(s.t), "md", client.ProducerOptions{})
	if err != nil {
		return err
	}
	return errors.Join(p.Send(harness.Bounded(s.t), []byte("x")), p.Flush(harness.Bounded(s.t)))
}

// mirrored waits until the mirror is made, or refused: then the error is the reason.
func (s *scene) mirrored(name string) error {
	s.t.Helper()
	var err error
	harness.Eventually(s.t, "a verdict on the mirror", func() bool {
		links, linksErr := s.c.Links(harness.Bounded(s.t))
		s.must(linksErr)
		for _, l := range links.Links {
			if l.Local != name {
				continue
			}
			if err = nil; l.State == client.LinkRefused {
				err = errors.New(l.Reason)
			}
			return err != nil || l.State == client.LinkConnected
		}
		return false
	})
	return err
}

// TestCreateWhileOthersFill makes rings while somebody else fills the tmpfs and
// empties it, as fast as it can: each is there whole, or refused and gone.
func TestCreateWhileOthersFill(t *testing.T) {
	harness.NeedRoot(t, "to mount a tmpfs")
	s := startScene(t, "size=1m", mdRing, nil)
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { stopped <- fillAndDrain(s.fs, stop) }()
	made, refused := 0, 0
	for n := 0; made < 20 || refused < 20; n++ {
		if n > 20_000 {
			t.Fatalf("%d rings made, %d refused: that is one-sided", made, refused)
		}
		name := fmt.Sprint("ring", n)
		switch err := s.create(name); {
		case err == nil:
			made++
			s.remove(name)
		case errors.Is(err, client.ErrNoSpace):
			refused++
		default:
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	s.fs.drain()
	entries, err := os.ReadDir(s.Dir)
	if err != nil || len(entries) != 3 { // .lock and two rings
		t.Errorf("left in %s: %v, %v", s.Dir, entries, err)
	}
	if got := s.scrape()["brokerd_refusals_total{limit=tmpfs}"]; got != float64(refused) {
		t.Errorf("the metric has %v refusals, want %d", got, refused)
	}
	s.exchange()
	s.healthy()
	fmt.Printf("counts: limits: a tmpfs that others fill meanwhile: %d rings made, %d refused, nothing left behind\n", made, refused)
}

func fillAndDrain(fs *tmpfs, stop chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := fillFile(fs.filler(), fs.freeBytes()); err != nil && !strings.Contains(err.Error(), "no space") {
			return err
		}
		if err := os.Remove(fs.filler()); err != nil {
			return err
		}
	}
}

// TestStartOnAFullTmpfs kills a daemon, fills what it has left, and starts another
// one: it adopts what is there, though it can write nothing new.
func TestStartOnAFullTmpfs(t *testing.T) {
	harness.NeedRoot(t, "to mount a tmpfs")
	for what, fill := range shortages() {
		t.Run(what, func(t *testing.T) {
			s := startScene(t, "size=1m,nr_inodes=100", mdRing, nil)
			s.exchange()
			s.Daemon.Signal(os.Interrupt) // an orderly end empties the lock file
			s.Daemon.Expect(0)
			fill(s.fs)
			s.exchange()
			s.Daemon = s.Place.Start()
			s.exchange()
			harness.WaitAttached(t, s.c, "witness", 2)
			if status := s.status(); status.RingsAdopted != 2 || len(status.Problems) != 0 {
				t.Errorf("%+v", status)
			}
			if err := s.create("more"); !errors.Is(err, client.ErrNoSpace) {
				t.Errorf("got %v, want %v", err, client.ErrNoSpace)
			}
			s.fs.drain()
			s.must(s.create("more"))
			s.healthy()
			if left, err := filepath.Glob(filepath.Join(s.Dir, ".new-*")); err != nil || len(left) != 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}
