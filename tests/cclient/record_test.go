package cclient

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// Sizes of payloads, in bytes. The smallest is an id and a number.
const (
	recordBytesMin = 16
	recordBytesMax = 1500
)

// nextRandom is a step of the SplitMix64 generator.
func nextRandom(state *uint64) uint64 {
	*state += 0x9E3779B97F4A7C15
	z := *state
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// appendRecord appends the payload of a record.
func appendRecord(b []byte, seed, id, number uint64) []byte {
	state := seed ^ id<<40 ^ number
	end := len(b) + recordBytesMin + int(nextRandom(&state)%(recordBytesMax-recordBytesMin+1))
	b = binary.LittleEndian.AppendUint64(b, id)
	b = binary.LittleEndian.AppendUint64(b, number)
	for len(b) < end {
		b = binary.LittleEndian.AppendUint64(b, nextRandom(&state))
	}
	return b[:end]
}

// ledger counts the records of each producer and holds them to their order.
type ledger struct {
	seed     uint64
	counts   map[uint64]uint64 // by id: the number of its next record
	missed   map[uint64]uint64 // by id: what the reader had missed in all when its last one came
	records  uint64
	last     uint64 // id of the last record's producer
	switches int    // records that came from another producer than the one before
	expected []byte
}

func newLedger(seed uint64) *ledger {
	return &ledger{seed: seed, counts: map[uint64]uint64{}, missed: map[uint64]uint64{}}
}

// add checks that a record is its producer's next, byte for byte, or one of the
// next if the reader knows that it missed some; missed is how many, in all.
func (l *ledger) add(payload []byte, missed uint64) error {
	if len(payload) < recordBytesMin {
		return fmt.Errorf("a record has %d bytes", len(payload))
	}
	id, number := binary.LittleEndian.Uint64(payload), binary.LittleEndian.Uint64(payload[8:])
	if next := l.counts[id]; number < next || number-next > missed-l.missed[id] {
		return fmt.Errorf("record %d of producer %d came, %d expected, %d missed", number, id, next, missed-l.missed[id])
	}
	l.expected = appendRecord(l.expected[:0], l.seed, id, number)
	if !bytes.Equal(payload, l.expected) {
		return fmt.Errorf("record %d of producer %d differs: %d bytes, want %d", number, id, len(payload), len(l.expected))
	}
	if id != l.last {
		l.switches++
	}
	l.last = id
	l.counts[id], l.missed[id] = number+1, missed
	l.records++
	return nil
}

// checkDump reads what the C client wrote down: each record's length, u32, and
// bytes.
func (l *ledger) checkDump(path string) error {
	rest, err := os.ReadFile(path)
	for err == nil && len(rest) > 0 {
		if len(rest) < 4 || uint64(len(rest)-4) < uint64(binary.LittleEndian.Uint32(rest)) {
			return fmt.Errorf("the dump ends inside a record")
		}
		end := 4 + binary.LittleEndian.Uint32(rest)
		err = l.add(rest[4:end], 0)
		rest = rest[end:]
	}
	return err
}

// summary is what the C client says about what it received.
type summary struct {
	Records, Missed, Gaps, Position, Sequence uint64 // the latter two of the next record

	MissedBytes uint64 `json:"missed_bytes"`
	Counts      map[uint64]uint64
}

// finish waits for a C reader's good end and returns what it says.
func finish(t testing.TB, p *harness.Process) (s summary) {
	t.Helper()
	p.Expect(0)
	if err := json.Unmarshal([]byte(strings.TrimPrefix(p.Stdout.String(), sayAttached)), &s); err != nil {
		t.Fatalf("the C reader printed %q: %v", p.Stdout, err)
	}
	return s
}

// roleProducer is the role of a producer that uses the Go client.
const roleProducer = "producer"

// produce publishes records and, where asked to, an end. Arguments: socket, ring,
// seed, id, count (0: until its stdin ends), then "end" and a wait strategy, or
// neither.
func produce(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*harness.Patience)
	defer cancel()
	c, err := harness.Dial(args[0])
	if err != nil {
		return err
	}
	seed, errSeed := strconv.ParseUint(args[2], 10, 64)
	id, errID := strconv.ParseUint(args[3], 10, 64)
	count, errCount := strconv.ParseUint(args[4], 10, 64)
	if err := errors.Join(errSeed, errID, errCount); err != nil {
		return err
	}
	o := client.ProducerOptions{WaitStrategy: client.WaitYield}
	if len(args) > 6 {
		o.WaitStrategy = client.WaitStrategy(args[6])
	}
	p, err := c.Producer(ctx, args[1], o)
	if err != nil {
		return err
	}
	fmt.Print(sayAttached)
	stop, cancelAll := context.WithCancel(ctx)
	defer cancelAll()
	if count == 0 {
		go func() { // ends with the process, at the latest
			_, _ = io.Copy(io.Discard, os.Stdin)
			cancelAll()
		}()
	}
	var record []byte
	for number := uint64(0); (count == 0 || number < count) && stop.Err() == nil; number++ {
		record = appendRecord(record[:0], seed, id, number)
		if err := p.Send(ctx, record); err != nil {
			return err
		}
	}
	if len(args) > 5 && args[5] == "end" {
		if err := p.End(ctx); err != nil {
			return err
		}
	}
	return errors.Join(p.Close(), c.Close())
}
