package broker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"brokerd/internal/process"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// churnSpec is a ring like any other, but every third has many producers and
// keeps cursors.
func churnSpec(i uint64) wire.RingSpec {
	s := spec(fmt.Sprintf("ring%d", i%3))
	if i%3 == 1 {
		s.Producers, s.ResumeForNS = wire.ProducersMany, new(int64(time.Hour))
	}
	return s
}

// churn is a daemon that does everything as fast as it can until it is killed.
// It attaches in the name of its parent, which lives, and of itself.
func churn(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "churn:", err)
			os.Exit(1)
		}
	}
	b, err := Open(Options{Dir: dir, Limits: generous})
	fail(err)
	parent, err := process.Open(os.Getppid())
	fail(err)
	self, err := process.Open(os.Getpid())
	fail(err)
	fmt.Println("ready")
	for i := uint64(1); ; i++ {
		name := churnSpec(i).Name
		if i%7 == 0 {
			_, _, err := b.Reconcile([]wire.RingSpec{churnSpec(i), churnSpec(i + 1)})
			fail(err)
		} else if _, err := b.CreateRing(churnSpec(i), 0); !errors.Is(err, wire.ErrRingExists) {
			fail(err)
		}
		for _, h := range []*process.Handle{parent, self} {
			for _, role := range []wire.Role{wire.RoleConsumer, wire.RoleProducer} {
				q := AttachRequest{Conn: i, Process: h, UID: 1000, Authorize: allowAll, In: wire.AttachIn{Ring: name, Role: role, Token: "t"}}
				if role == wire.RoleConsumer {
					q.In.Name, q.In.Resume = "n", i/3%4 != 0
				}
				l, err := b.Attach(q)
				closeFiles(l.Files)
				if !errors.Is(err, wire.ErrProducerPresent) && !errors.Is(err, wire.ErrCursorInUse) {
					fail(err)
				}
				if i%2 == 0 && err == nil {
					fail(b.Detach(l.Out.Attachment.ID, func(wire.Attachment, uint64) error { return nil }))
				}
			}
		}
		b.ConnectionClosed(i)
		if i%5 == 0 {
			fail(b.RemoveRing(name, true))
		}
	}
}

// A daemon killed at any instruction leaves a directory that the next one takes
// over whole: nothing quarantined, nothing half made, what the dead daemon held
// free, what this process holds kept, and usable.
func TestKilledAnywhere(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	dir, resumed := tmpfsDir(t), 0
	rounds := 30
	if testing.Short() {
		rounds = 5
	}
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"=churn", "BROKER_TEST_DIR="+dir)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		_, readErr := out.Read(make([]byte, 64))
		time.Sleep(time.Duration(random.IntN(20000)) * time.Microsecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if readErr != nil || stderr.Len() > 0 {
			t.Fatalf("round %d: the daemon failed by itself: %s", round, stderr.String())
		}
		resumed += checkAdopted(t, dir)
	}
	if t.Logf("%d cursors resumed", resumed); resumed == 0 && rounds > 10 {
		t.Error("no round left a cursor")
	}
}

func checkAdopted(t *testing.T, dir string) (resumed int) {
	t.Helper()
	b, err := Open(Options{Dir: dir, Limits: generous})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if s := b.Status(); len(s.Quarantined) != 0 || len(s.Problems) != 0 || s.Rings != s.Adopted {
		t.Fatalf("%+v", s)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1+len(b.Rings()) {
		t.Errorf("%d entries for %d rings", len(entries), len(b.Rings()))
	}
	list, err := b.Attachments("")
	if err != nil {
		t.Fatal(err)
	}
	cursors := 0
	for _, a := range list {
		if a.State == wire.StateResumable && a.Role == wire.RoleConsumer {
			cursors++
		} else if a.PID != os.Getpid() || a.State != wire.StateDetached {
			t.Errorf("kept: %+v", a)
		}
	}
	for _, r := range b.rings {
		stats, err := r.mem.Stats()
		if err != nil || stats.Consumers != r.honoured(wire.RoleConsumer) || stats.Producers != r.honoured(wire.RoleProducer) {
			t.Errorf("%s: honours %d consumers and %d producers, on record are %v (%v)", r.info.Name, stats.Consumers, stats.Producers, list, err)
		}
	}
	h, err := process.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, r := range b.Rings() {
		for _, role := range []wire.Role{wire.RoleConsumer, wire.RoleProducer} {
			q := request(1, h, r.Name, role)
			q.In.Token = "t"
			l, err := b.Attach(q)
			if err != nil {
				t.Fatalf("%s: %v", r.Name, err)
			}
			if role == wire.RoleConsumer {
				a := l.Out.Attachment
				c, err := shmring.OpenConsumer(l.Files[0], l.Files[1], shmring.ConsumerOptions{Slot: a.Slot, Generation: a.Generation, Policy: shmring.PolicyDemote})
				if err != nil {
					t.Fatal(err)
				}
				_ = c.Close()
			}
			closeFiles(l.Files)
		}
	}
	if cursors == 0 {
		return 0
	}
	q := request(1, h, churnSpec(1).Name, wire.RoleConsumer)
	q.In.Name, q.In.Resume = "n", true
	l, err := b.Attach(q)
	closeFiles(l.Files)
	if err != nil || !l.Out.Resumed {
		t.Errorf("the cursor: %+v, %v", l.Out, err)
	}
	for _, by := range []error{nil, ErrEvict} { // for good: this process lives on
		if err := b.Detach(l.Out.Attachment.ID, func(wire.Attachment, uint64) error { return by }); err != nil {
			t.Error(err)
		}
	}
	return 1
}
