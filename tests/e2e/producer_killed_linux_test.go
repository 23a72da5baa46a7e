package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// numberBytes are at the front of each record of the role numbering: its life
// and its number, each 8 bytes.
const numberBytes = 16

// numbering publishes numbered records of many sizes until it is killed. It
// writes down, in a file that it maps, the number that it has begun and the one
// that it has published. Arguments: socket, that file, its life.
func numbering(args []string) error {
	ctx, cancel, c, err := roleDial(args[0])
	defer cancel()
	if err != nil {
		return err
	}
	note, err := mapNote(args[1])
	if err != nil {
		return err
	}
	life, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return err
	}
	p, err := c.Producer(ctx, "md", client.ProducerOptions{Name: "numbering"})
	if err != nil {
		return err
	}
	fmt.Println(sayAttached)
	for i := uint64(1); ; i++ {
		binary.LittleEndian.PutUint64(note, i)
		buf, err := p.Reserve(ctx, numberBytes+int(i*i%900))
		if err != nil {
			return err
		}
		binary.LittleEndian.PutUint64(buf, life)
		binary.LittleEndian.PutUint64(buf[8:], i)
		if err := p.Commit(); err != nil {
			return err
		}
		binary.LittleEndian.PutUint64(note[8:], i)
	}
}

// mapNote maps the file in which the role keeps its two numbers. A kill cannot
// take back what was stored there.
func mapNote(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return unix.Mmap(int(f.Fd()), 0, 16, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// ledger is what a reader has received of one life.
type ledger struct {
	life uint64
	last uint64
}

// count checks that a record is the next one: of the same life the next number,
// or the first of the next life.
func (l *ledger) count(payload []byte) error {
	life, number := binary.LittleEndian.Uint64(payload), binary.LittleEndian.Uint64(payload[8:])
	if len(payload) != numberBytes+int(number*number%900) {
		return fmt.Errorf("record %d of life %d has %d bytes", number, life, len(payload))
	}
	if life != l.life {
		*l = ledger{life: life}
	}
	if number != l.last+1 {
		return fmt.Errorf("record %d of life %d came after %d", number, life, l.last)
	}
	l.last = number
	return nil
}

// producerLives is how many producers are killed, one after the other.
const producerLives = 200

// TestKilledProducerIsSucceeded kills producers at random moments. A reader
// sees every record that one published, once and in order, and nothing else; a
// successor can attach soon.
func TestKilledProducerIsSucceeded(t *testing.T) {
	p := newPlace(t, "[{name: md, capacity: 64KiB}]")
	p.Start()
	c := p.Dial()
	r, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{Policy: client.PolicyBlock})
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var took []time.Duration
	var total uint64
	for life := range uint64(producerLives) {
		path := filepath.Join(p.Root, fmt.Sprintf("note-%d", life))
		if err := os.WriteFile(path, make([]byte, 16), 0o600); err != nil {
			t.Fatal(err)
		}
		producer := harness.Launch(t, p.Role("numbering", path, strconv.FormatUint(life, 10)))
		producer.WaitSaid(sayAttached)
		l := ledger{life: life}
		stop := time.Now().Add(time.Duration(random.Int64N(int64(30 * time.Millisecond))))
		for time.Now().Before(stop) || l.last == 0 {
			if err := receiveCounted(r, &l); err != nil {
				t.Fatal(err)
			}
		}
		killed := time.Now()
		producer.Signal(sigkill)
		// The attempt below is this process's, and ends its hold at once.
		took = append(took, succeed(t, c, killed))
		if err := drainCounted(r, &l); err != nil {
			t.Fatal(err)
		}
		note, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		began, published := binary.LittleEndian.Uint64(note), binary.LittleEndian.Uint64(note[8:])
		if l.life != life || l.last < published || l.last > began {
			t.Fatalf("life %d: the reader saw up to %d of life %d; %d were published, %d begun", life, l.last, l.life, published, began)
		}
		total += l.last
	}
	judgeFreed(t, "from a producer's kill to its successor", took)
	s := r.Stats()
	t.Logf("%d lives, %d records, %d gap records", producerLives, total, s.GapRecords)
	if sequence := harness.RingStats(t, c, "md").Sequence; s.Delivered != total || s.MissedRecords != 0 || s.Delivered+s.GapRecords != sequence {
		t.Errorf("the reader tells %+v; %d records were seen, the ring counts %d", s, total, sequence)
	}
}

// sigkill ends a process without its help.
const sigkill = unix.SIGKILL

// succeed attaches as producer as soon as the daemon lets it, detaches, and
// returns how long that took.
func succeed(t *testing.T, c *client.Client, killed time.Time) time.Duration {
	t.Helper()
	for {
		p, err := c.Producer(harness.Bounded(t), "md", client.ProducerOptions{})
		if err == nil {
			took := since(killed)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			return took
		}
		if !errors.Is(err, client.ErrProducerPresent) || since(killed) > harness.Patience {
			t.Fatalf("succeed: %v", err)
		}
	}
}

func receiveCounted(r *client.Consumer, l *ledger) error {
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	record, err := r.Receive(ctx)
	if err != nil {
		return err
	}
	return l.count(record.Payload)
}

// drainCounted receives what is there.
func drainCounted(r *client.Consumer, l *ledger) error {
	for {
		record, err := r.TryReceive()
		if errors.Is(err, client.ErrEmpty) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := l.count(record.Payload); err != nil {
			return err
		}
	}
}
