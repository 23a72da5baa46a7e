//go:build ringstep

package broker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"brokerd/internal/process"
	"brokerd/internal/shmring"
	"brokerd/internal/wire"
)

// stepWorld is everybody but the daemon that is stopped: a ring md of many producers
// with a lossless reader and a producer, both of this process, who live through all of
// it; what else an operation needs; and the daemons before and after.
type stepWorld struct {
	ghost  *process.Handle // of a process that is dead
	mortal bool            // ghost lives, and dies before the operation
	setup  func(w *stepWorld, b *Broker) error
	after  func(w *stepWorld, b *Broker) error
	cursor bool // a cursor holds producers all the while

	dir    string
	self   *process.Handle
	dies   *exec.Cmd
	stays  *shmring.Producer
	sent   uint64
	book   *shmring.Consumer
	last   uint64 // number of its last record
	gone   *shmring.Consumer
	closes []func() error
}

const stepLap = 64 << 10

func stepOpen(dir string) (*Broker, error) {
	return Open(Options{Dir: filepath.Join(dir, "rings"), Limits: generous, OwnerUID: daemonUID})
}

func (w *stepWorld) later(fn func() error) { w.closes = append(w.closes, fn) }

func (w *stepWorld) Close() {
	if w.dies != nil {
		w.bury()
	}
	for _, fn := range w.closes {
		_ = fn() // of what a failed run leaves, too
	}
}

func (w *stepWorld) Open(dir string) (err error) {
	w.dir = dir
	if w.self, err = process.Open(os.Getpid()); err != nil {
		return err
	}
	w.later(w.self.Close)
	if w.mortal {
		if err := w.mortalGhost(); err != nil {
			return err
		}
	}
	b, err := stepOpen(dir)
	if err != nil {
		return err
	}
	s := keeping("md")
	s.Producers, s.Checksum, s.ConsumersMax = wire.ProducersMany, true, new(6)
	if _, err := b.CreateRing(s, 0); err != nil {
		return errors.Join(err, b.Close())
	}
	w.book, err = w.read(b, named(1, w.self, ""))
	if err == nil {
		w.stays, err = w.write(b, producing(w.self))
	}
	if err == nil {
		err = w.push(4)
	}
	if err == nil && w.setup != nil {
		err = w.setup(w, b)
	}
	return errors.Join(err, b.Close())
}

// mortalGhost starts the process that dies later.
func (w *stepWorld) mortalGhost() (err error) {
	w.dies = exec.Command("/proc/self/exe")
	w.dies.Env = []string{childEnv + "=wait"}
	stdin, err := w.dies.StdinPipe()
	if err != nil {
		return err
	}
	w.later(stdin.Close)
	if err := w.dies.Start(); err != nil {
		return err
	}
	if w.ghost, err = process.Open(w.dies.Process.Pid); err == nil {
		w.later(w.ghost.Close)
	}
	return err
}

func (w *stepWorld) bury() {
	_ = w.dies.Process.Kill()
	_ = w.dies.Wait()
	w.dies = nil
}

// read and write attach and open what was lent.
func (w *stepWorld) read(b *Broker, q AttachRequest) (*shmring.Consumer, error) {
	l, err := b.Attach(q)
	if err != nil {
		return nil, err
	}
	defer closeFiles(l.Files)
	policy, err := shmring.ParsePolicy(string(l.Out.Attachment.Policy))
	if err != nil {
		return nil, err
	}
	c, err := openReader(l, policy)
	if err == nil {
		w.later(c.Close)
	}
	return c, err
}

func (w *stepWorld) write(b *Broker, q AttachRequest) (*shmring.Producer, error) {
	l, err := b.Attach(q)
	if err != nil {
		return nil, err
	}
	defer closeFiles(l.Files)
	p, err := openWriter(l)
	if err == nil {
		w.later(p.Close)
	}
	return p, err
}

// push publishes records that are numbered from 1.
func (w *stepWorld) push(n int) error {
	for range n {
		record := make([]byte, 1000)
		binary.LittleEndian.PutUint64(record, w.sent+1)
		if err := w.stays.TrySend(record); err != nil {
			return err
		}
		w.sent++
	}
	return nil
}

// drain reads what is there: the producer's records, in order, none twice, none missing.
func (w *stepWorld) drain() error {
	for {
		r, err := w.book.TryReceive()
		if errors.Is(err, shmring.ErrEmpty) {
			return nil
		}
		if err != nil {
			return err
		}
		n := binary.LittleEndian.Uint64(r.Payload)
		if n == stepUnnumbered {
			continue
		}
		if w.last++; n != w.last || r.Missed != 0 {
			return fmt.Errorf("record %d comes instead of %d, %d were missed", n, w.last, r.Missed)
		}
	}
}

// stepUnnumbered is what other producers publish.
const stepUnnumbered = ^uint64(0)

// laps: the producer goes on for two laps while the lossless reader follows. held
// says that somebody else has held it.
func (w *stepWorld) laps() (held bool, err error) {
	for range 2 * stepLap / 1000 {
		err := w.push(1)
		if errors.Is(err, shmring.ErrFull) {
			if err := w.drain(); err != nil {
				return false, err
			}
			err = w.push(1)
		}
		if errors.Is(err, shmring.ErrFull) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, w.drain()
}

// free: nobody holds the producer, and the lossless reader's books balance.
func (w *stepWorld) free(gaps uint64) error {
	if held, err := w.laps(); err != nil || held {
		return errors.Join(err, fmt.Errorf("the producer is held: %t", held))
	}
	s := w.book.Stats()
	if w.last != w.sent || s.MissedRecords != 0 || s.GapRecords != gaps || s.Delivered+gaps != s.Sequence {
		return fmt.Errorf("published %d, received %d, to be in gaps %d: %+v", w.sent, w.last, gaps, s)
	}
	return nil
}

func (w *stepWorld) Ready([]uint64) error {
	if w.dies != nil {
		w.bury()
	}
	return nil
}

// others go on while no daemon works, but for whom the ring makes wait.
func (w *stepWorld) others() error {
	held, err := w.laps()
	if errors.Is(err, shmring.ErrRemoved) {
		return nil
	}
	if err == nil && w.cursor && !held {
		err = errors.New("the cursor does not hold producers")
	}
	return err
}

func (w *stepWorld) Stopped(bool) error {
	if b, err := stepOpen(w.dir); !errors.Is(err, ErrLocked) {
		if err == nil {
			_ = b.Close()
		}
		return fmt.Errorf("a second daemon while one is stopped: %v", err)
	}
	return w.others()
}

func (w *stepWorld) Idle() error                { return nil }
func (w *stepWorld) Done() ([]uint64, error)    { return nil, nil }
func (w *stepWorld) Ended([]uint64, bool) error { return w.next() }

func (w *stepWorld) Dead() (int, error) {
	if err := w.others(); err != nil {
		return 0, fmt.Errorf("while no daemon runs: %w", err)
	}
	return 0, w.next()
}

// next is the next daemon: it knows what the ring honours, and finds no garbage.
func (w *stepWorld) next() error {
	b, err := stepOpen(w.dir)
	if err != nil {
		return err
	}
	return errors.Join(w.judge(b), b.Close())
}

func (w *stepWorld) judge(b *Broker) error {
	if s := b.Status(); len(s.Quarantined) != 0 || len(s.Problems) != 0 || s.Rings != s.Adopted {
		return fmt.Errorf("the next daemon: %+v", s)
	}
	for _, r := range b.rings {
		stats, err := r.mem.Stats()
		if err != nil || stats.Consumers != r.honoured(wire.RoleConsumer) || stats.Producers != r.honoured(wire.RoleProducer) {
			return fmt.Errorf("%s honours %d consumers and %d producers, on record are %+v (%v)", r.info.Name, stats.Consumers, stats.Producers, r.slots.records[:4], err)
		}
	}
	return w.after(w, b)
}
