package torture

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	lifeMean      = 1200 * time.Millisecond // of a victim, once it is attached
	lifeMax       = 5 * time.Second
	earlyMax      = 30 * time.Millisecond // of one that is killed before that
	stoppedMax    = 200 * time.Millisecond
	victimBusyFor = 4 * harness.Patience // how long a victim may take for what it is asked to do

	// yieldingLane is the only one whose victims wait by yielding: ten of them on two cores leave others, the daemons too,
	// without time for seconds (docs/CHOOSING.md).
	yieldingLane = 14
)

// ring is one ring of a, its truth, and its mirror.
type ring struct {
	name      string
	recordMax int
	epoch     uint64
	truth     *truth
	// stops is held for reading while a process that might hold this ring is stopped or dies, and for writing while the
	// test measures how long somebody holds it.
	stops  sync.RWMutex
	target uint64 // its sequence number at the end
}

// lane is a sequence of victims of one kind, one at a time.
type lane struct {
	kind   string // for the counts
	role   string // of this binary
	at     string // a, b or far
	ring   *ring
	policy client.Policy
	from   string // "" for any but resume
	hold   bool   // they hold the others (hold_test.go)

	id          uint32
	incarnation uint32
	random      *rand.Rand
	cursor      *cursor // that the last one left, nil when there is none
}

// victim is one process.
type victim struct {
	job    job
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan struct{}
	gone   time.Time // when it ended, or was noticed to have; read after ended
	file   *os.File  // its book
	killed bool
}

// local is what the ring is called where the lane attaches.
func (l *lane) local() string {
	if l.at == "b" {
		return l.ring.name + ".b"
	}
	return l.ring.name
}

// job is what the next victim is to do.
func (t *torture) job(l *lane) job {
	l.incarnation++
	j := job{
		Ring: l.local(), Life: [2]uint32{l.id, l.incarnation}, Seed: l.random.Uint64(), RecordMax: l.ring.recordMax, Policy: l.policy, From: l.from,
		Book: filepath.Join(t.dir, fmt.Sprintf("book-%d.%d", l.id, l.incarnation)),
	}
	switch l.at {
	case "a":
		j.Socket = t.a.place.Socket
	case "b":
		j.Socket = t.b.place.Socket
	default:
		j.Remote = &t.far
	}
	if l.role == roleProducer || l.from == "resume" {
		j.Name = fmt.Sprintf("%s-%d", l.role, l.id)
	}
	if j.From == "" {
		j.From = []string{"oldest", "latest"}[l.random.IntN(2)]
	}
	j.Wait = []client.WaitStrategy{client.WaitPark, client.WaitPark, client.WaitPark, client.WaitAuto}[l.random.IntN(4)]
	if l.id == yieldingLane {
		j.Wait = client.WaitYield
	}
	j.Mirror = l.at == "b"
	j.MayMiss = !l.lossless() && !l.demoted()
	j.Lazy = []int{0, 500, 100}[l.random.IntN(3)]
	j.Views = j.Remote == nil && (l.from == "" || l.lossless()) && l.random.IntN(3) == 0
	if l.hold {
		j.Views, j.Lazy = false, 0
	}
	return j
}

// lossless readers may miss nothing: what reads a mirror, or without a cursor over a network that
// breaks, is told of what an outage has cost.
func (l *lane) lossless() bool {
	return l.policy == client.PolicyBlock && (l.at == "a" || l.at == "far" && l.from == "resume")
}

// demoted readers may miss nothing until they are demoted, which they know on the host of the ring.
func (l *lane) demoted() bool {
	return l.policy == client.PolicyDemote && l.at == "a" && l.from != "resume"
}

// spawn starts the next victim.
func (t *torture) spawn(l *lane) (*victim, error) {
	v := &victim{job: t.job(l), ended: make(chan struct{})}
	argument, err := json.Marshal(v.job)
	if err == nil {
		err = createBook(v.job.Book)
	}
	if err == nil {
		v.file, err = os.OpenFile(v.job.Book, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, err
	}
	v.cmd = exec.Command(binaries.Self, string(argument))
	v.cmd.Env = []string{harness.RoleVariable + "=" + l.role, "GOMAXPROCS=" + []string{"1", "2"}[l.random.IntN(2)]}
	return v, v.start()
}

// start starts the process of a victim.
func (v *victim) start() error {
	v.cmd.Stderr = &v.stderr
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := v.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = v.cmd.Wait() // read after ended
		v.gone = time.Now()
		close(v.ended)
	}()
	return nil
}

func (v *victim) word(word int) uint64 {
	b := book{make([]byte, 8)}
	_, _ = v.file.ReadAt(b.b, int64(8*word)) // a page of tmpfs
	return b.get(0)
}

func (v *victim) tell(word int, value uint64) {
	b := book{make([]byte, 8)}
	b.set(0, value)
	_, _ = v.file.WriteAt(b.b, int64(8*word))
}

// kill ends it as kill -9 does, if it has not ended.
func (v *victim) kill() {
	v.killed = true
	_ = v.cmd.Process.Kill()
	<-v.ended
}

// awaits polls until the victim has come so far. false: it has ended, or the test is over, or ends its lanes while early is set.
func (t *torture) awaits(v *victim, what string, early bool, done func() bool) bool {
	for deadline := time.Now().Add(victimBusyFor); !done(); time.Sleep(2 * time.Millisecond) {
		select {
		case <-v.ended:
			return done()
		case <-t.tally.alarm:
			return false
		default:
		}
		if early && closed(t.ending) {
			return false
		}
		if time.Now().After(deadline) {
			t.tally.violation("%s: not within %v: %s\n%s", what, victimBusyFor, t.describe(v), t.situation())
			return false
		}
	}
	return true
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// describe is a victim in words.
func (t *torture) describe(v *victim) string {
	return fmt.Sprintf("life %v, %s of %s, pid %d, book %s", v.job.life(), v.job.Name, v.job.Ring, v.cmd.Process.Pid, v.job.Book)
}
