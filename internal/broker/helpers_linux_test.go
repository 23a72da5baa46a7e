package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"brokerd/internal/process"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

const childEnv = "BROKER_TEST_CHILD"

// TestMain also is the main of the child processes.
func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "wait": // lives until its stdin closes
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "churn":
		churn(os.Getenv("BROKER_TEST_DIR"))
	default:
		if !stepProcess() {
			goleak.VerifyTestMain(m)
		}
	}
}

// child is a process of its own, to attach in the name of.
type child struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	handle *process.Handle
	once   sync.Once
}

func startChild(t *testing.T) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(os.Environ(), childEnv+"=wait")
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	if c.handle, err = process.Open(c.cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	return c
}

// kill ends the child with SIGKILL and reaps it.
func (c *child) kill() {
	c.once.Do(func() {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		if c.handle != nil {
			_ = c.handle.Close()
		}
	})
}

func self(t *testing.T) *process.Handle {
	t.Helper()
	h, err := process.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// tmpfsDir is a fresh folder on tmpfs, not yet the broker's.
func tmpfsDir(t *testing.T) string {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		t.Skip("needs a tmpfs on /dev/shm")
	}
	base, err := os.MkdirTemp("/dev/shm", "brokerd-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	return filepath.Join(base, "rings")
}

// daemonUID is what the tests take for the daemon's user.
const daemonUID = 990

var generous = Limits{MemoryBytes: 64 << 20, Rings: 16, Attachments: 128}

// journal collects events.
type journal struct {
	mu     sync.Mutex
	events []Event
}

func (j *journal) note(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

func (j *journal) count(kind EventKind) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, e := range j.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return fmt.Sprintf("%+v", j.events)
}

func open(t *testing.T, dir string, limits Limits) (*Broker, *journal) {
	t.Helper()
	return openAt(t, dir, limits, nil)
}

func openAt(t *testing.T, dir string, limits Limits, now func() time.Time) (*Broker, *journal) {
	t.Helper()
	j := &journal{}
	b, err := Open(Options{Dir: dir, Limits: limits, OwnerUID: daemonUID, Now: now, Event: j.note})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b, j
}

// run runs Run until the test ends or stop is called.
func run(t *testing.T, b *Broker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx, func() {}) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func spec(name string) wire.RingSpec {
	return wire.RingSpec{Name: name, Capacity: 64 << 10, ConsumersMax: new(4)}
}

func mustCreate(t *testing.T, b *Broker, s wire.RingSpec) wire.Ring {
	t.Helper()
	r, err := b.CreateRing(s, 0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func allowAll(wire.Ring) error { return nil }

// request is one that everything is right with.
func request(conn uint64, h *process.Handle, ring string, role wire.Role) AttachRequest {
	return AttachRequest{
		Conn: conn, Process: h, UID: 1000, Authorize: allowAll,
		In: wire.AttachIn{Ring: ring, Role: role},
	}
}

func mustAttach(t *testing.T, b *Broker, q AttachRequest) Lease {
	t.Helper()
	l, err := b.Attach(q)
	if err != nil {
		t.Fatalf("attach to %s as %s: %v", q.In.Ring, q.In.Role, err)
	}
	t.Cleanup(func() { closeFiles(l.Files) }) // closing twice is harmless
	return l
}

func attachError(t *testing.T, b *Broker, q AttachRequest) error {
	t.Helper()
	l, err := b.Attach(q)
	if err == nil {
		closeFiles(l.Files)
		t.Fatalf("attach to %s as %s worked", q.In.Ring, q.In.Role)
	}
	return err
}

// reader and writer map what was lent, as the process would.
func reader(t *testing.T, l Lease, policy shmring.Policy) *shmring.Consumer {
	t.Helper()
	c, err := openReader(l, policy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func openReader(l Lease, policy shmring.Policy) (*shmring.Consumer, error) {
	a := l.Out.Attachment
	from := shmring.FromOldest()
	if l.Out.Resumed {
		from = shmring.FromResume()
	}
	return shmring.OpenConsumer(l.Files[l.Out.Files.Data], l.Files[l.Out.Files.Cursors[0]], shmring.ConsumerOptions{
		Slot: a.Slot, Generation: a.Generation, Policy: policy, From: from,
		KeepCursor: l.Out.Ring.ResumeForNS > 0 && a.Name != "",
	})
}

func writer(t *testing.T, l Lease) *shmring.Producer {
	t.Helper()
	p, err := openWriter(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func openWriter(l Lease) (*shmring.Producer, error) {
	var cursors []*os.File
	for _, i := range l.Out.Files.Cursors {
		cursors = append(cursors, l.Files[i])
	}
	a := l.Out.Attachment
	return shmring.OpenProducer(l.Files[l.Out.Files.Data], cursors, shmring.ProducerOptions{Slot: a.Slot, Generation: a.Generation})
}

// push publishes one record, always of one size: a smaller one may fit where
// the last did not.
func push(p *shmring.Producer) error { return p.TrySend(make([]byte, 1000)) }

// fillRing publishes until a reader holds the producer; held is false when none
// does after several laps.
func fillRing(t *testing.T, p *shmring.Producer) (held bool) {
	t.Helper()
	for range 4 * 64 {
		err := push(p)
		if errors.Is(err, shmring.ErrFull) {
			return true
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return false
}

// clock is a time that moves when it is told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Unix(1_800_000_000, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

const patience = 10 * time.Second

// eventually polls until ok, and tells how long that took.
func eventually(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > patience {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start)
}

func ids(t *testing.T, b *Broker, ring string) []string {
	t.Helper()
	list, err := b.Attachments(ring)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range list {
		out = append(out, a.ID+" "+string(a.State))
	}
	return out
}

func wantIDs(t *testing.T, b *Broker, ring string, want ...string) {
	t.Helper()
	if got := ids(t, b, ring); !slices.Equal(got, want) {
		t.Errorf("attachments of %q: %v, want %v", ring, got, want)
	}
}

func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
