//go:build !ringmodel

package shmring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The hammer: producers in processes of their own, killed and stopped at any
// instruction, on one ring of many producers. What each has published is known
// from a page that it shares with the test.
const (
	hammerEnv       = "SHMRING_HAMMER"
	hammerProducers = 3
	hammerTime      = 6 * time.Second
	noteBytes       = 4096
)

// hammerChild publishes records of its life until it is killed. Arguments: slot,
// generation, life. Its files: note, data, cursor pages.
func hammerChild(args []string) error {
	n, err := hammerNumbers(args)
	if err != nil {
		return err
	}
	note, err := mapFile(os.NewFile(3, "note"), noteBytes, true)
	if err != nil {
		return err
	}
	data := os.NewFile(4, "data")
	var cursors []*os.File
	for fd := uintptr(5); ; fd++ {
		if _, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || len(cursors) == hammerConfig().ConsumersMax {
			break
		}
		cursors = append(cursors, os.NewFile(fd, "cursor"))
	}
	p, err := OpenProducer(data, cursors, ProducerOptions{Slot: int(n[0]), Generation: uint32(n[1]), Wait: WaitYield})
	if err != nil {
		return err
	}
	for i := uint64(1); ; i++ {
		buf, err := p.Reserve(context.Background(), 16+int(i*i%700))
		if err != nil {
			return err
		}
		binary.LittleEndian.PutUint64(buf, n[2])
		binary.LittleEndian.PutUint64(buf[8:], i)
		if i%97 == 0 {
			err = p.Abort()
		} else {
			err = p.Commit()
		}
		if err != nil {
			return err
		}
		store64(note, 0, i)
	}
}

func hammerConfig() Config {
	c := testConfig(CapacityBytesMin)
	c.Many, c.Checksum, c.ConsumersMax = true, true, 3
	return c
}

// hammer is the daemon's part and the books.
type hammer struct {
	ring  *Ring
	lives []uint64 // of each life, the numbers that were surely published
	kills int
	stops int
	most  time.Duration // from a process's exit to its repaired claim
	gaps  int
	mu    sync.Mutex
}

// live runs one life of a producer: start, a moment, perhaps a stop, a kill, a
// repair.
func (h *hammer) live(t *testing.T, rng *rand.Rand, slot int, generation uint32) error {
	note, err := os.CreateTemp("/dev/shm", "shmring-note-")
	if err != nil {
		return err
	}
	defer note.Close()
	defer os.Remove(note.Name())
	if err := note.Truncate(noteBytes); err != nil {
		return err
	}
	page, err := mapFile(note, noteBytes, true)
	if err != nil {
		return err
	}
	defer unmap(page)

	h.mu.Lock()
	life := len(h.lives)
	h.lives = append(h.lives, 0)
	err = h.ring.BindProducer(slot, Binding{Generation: generation})
	var data *os.File
	var cursors []*os.File
	if err == nil {
		data, cursors, err = h.ring.LendProducer()
	}
	h.mu.Unlock()
	if err != nil {
		return err
	}
	child, err := startVictim(fmt.Sprintf("%s=%d %d %d", hammerEnv, slot, generation, life), append([]*os.File{data}, cursors...), note)
	if err != nil {
		return err
	}
	for load64(page, 0) < uint64(rng.IntN(300)) && t.Context().Err() == nil {
		time.Sleep(50 * time.Microsecond)
	}
	time.Sleep(time.Duration(rng.IntN(2000)) * time.Microsecond)
	stopped := rng.IntN(4) == 0
	if stopped {
		_ = child.cmd.Process.Signal(unix.SIGSTOP) // it lives: it was not waited for
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
		_ = child.cmd.Process.Signal(unix.SIGCONT)
		time.Sleep(time.Duration(rng.IntN(1000)) * time.Microsecond)
	}
	if err := child.kill(); err != nil {
		return err
	}
	exited := time.Now()

	h.mu.Lock()
	defer h.mu.Unlock()
	gaps, err := h.ring.Repair(slot)
	h.most = max(h.most, time.Since(exited))
	h.lives[life] = load64(page, 0)
	h.kills, h.gaps = h.kills+1, h.gaps+gaps
	if stopped {
		h.stops++
	}
	if err != nil {
		return err
	}
	return h.ring.UnbindProducer(slot)
}

// hammerReader checks what it receives, and at the end counts.
type hammerReader struct {
	c    *Consumer
	last map[uint64]uint64 // of each life, the last number
	err  error
}

func (r *hammerReader) run(ctx context.Context) {
	for {
		rec, err := r.c.Receive(ctx)
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				r.err = err
			}
			return
		}
		life, i := binary.LittleEndian.Uint64(rec.Payload), binary.LittleEndian.Uint64(rec.Payload[8:])
		before := r.last[life]
		next := before + 1
		if next%97 == 0 {
			next++ // that one was aborted
		}
		if i < next || i > next && r.c.policy == PolicyBlock {
			r.err = fmt.Errorf("life %d: record %d follows %d", life, i, before)
			return
		}
		r.last[life] = i
	}
}

// Processes killed and stopped at any instruction: a lossless reader sees every
// record that was published, once, in each producer's order; skip and latest
// readers account for each one.
func TestHammerManyProducers(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	h := &hammer{ring: tmpfsRing(t, hammerConfig())}
	var readers []*hammerReader
	for slot, policy := range []Policy{PolicyBlock, PolicySkip, PolicyLatest} {
		readers = append(readers, &hammerReader{c: openConsumer(t, h.ring, slot, policy), last: map[uint64]uint64{}})
	}
	reading, stop := context.WithCancel(t.Context())
	defer stop()
	var read, work sync.WaitGroup
	for _, r := range readers {
		read.Go(func() { r.run(reading) })
	}
	until := time.Now().Add(hammerTime)
	for slot := range hammerProducers {
		rng := rand.New(rand.NewPCG(seed, uint64(slot)))
		work.Go(func() {
			for generation := uint32(1); time.Now().Before(until); generation++ {
				if err := h.live(t, rng, slot, generation); err != nil {
					t.Errorf("slot %d: %v", slot, err)
					return
				}
			}
		})
	}
	work.Wait()
	stats, err := h.ring.Stats()
	if err != nil {
		t.Fatal(err)
	}
	waitConsumers(h.ring, len(readers), stats.Position)
	stop()
	read.Wait()
	for _, r := range readers {
		s := r.c.Stats()
		if r.err != nil {
			t.Errorf("%s: %v", s.Policy, r.err)
		}
		if s.Delivered+s.MissedRecords+s.GapRecords != stats.Sequence || s.Sequence != stats.Sequence {
			t.Errorf("%s: %+v, the ring is at record %d", s.Policy, s, stats.Sequence)
		}
		if s.Policy != PolicyBlock {
			continue
		}
		twice := uint64(0) // gaps that the ring may count twice: see producer.drop
		for life, published := range h.lives {
			twice += b2n(published%97 == 96) // killed within its Abort, if at all
			if last := r.last[uint64(life)]; last+b2n(published%97 == 0) < published || last > published+1 {
				t.Errorf("life %d: published up to %d, received up to %d", life, published, last)
			}
		}
		if s.MissedRecords != 0 || s.GapRecords > stats.GapRecords || s.GapRecords+twice < stats.GapRecords {
			t.Errorf("block: missed %d, gaps %d of %d, of which up to %d count twice", s.MissedRecords, s.GapRecords, stats.GapRecords, twice)
		}
	}
	fmt.Printf("counts: hammer: seed %d: %d lives killed, %d of them stopped before, %d records, %d in gaps (%d of dead claims), longest repair %v\n",
		seed, h.kills, h.stops, stats.Sequence, stats.GapRecords, h.gaps, h.most)
}

func b2n(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
