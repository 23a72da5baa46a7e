package e2e

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// The whole feed over several producers into one ring, while the daemon and a
// reader die. A record's tag is its producer's number.
const (
	manyProducers = 3
	manyRing      = "[{name: md, capacity: 4MiB, producers: many, checksum: true, resume_for: 30s}]"
	// journalHead is a record's position, u64, tag, u16, and length, u32.
	journalHead = 14
)

// journaling is a reader that writes every record it gets into a file, by one
// write each, so that a kill leaves whole records. When it resumes it drops what
// the file holds from the resumed position on: that was written, but the ring
// does not know that it was. Arguments: socket, file, name, records to read.
func journaling(args []string) error {
	ctx, cancel, c, err := roleDial(args[0])
	defer cancel()
	if err != nil {
		return err
	}
	total, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	r, err := c.Consumer(ctx, "md", client.ConsumerOptions{
		Name: args[2], Policy: client.PolicyBlock, From: client.FromResume(), WaitStrategy: client.WaitPark})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(args[1], os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	have, dropped, err := rewind(f, r.Start())
	if err != nil {
		return err
	}
	fmt.Printf("%s resumed=%v records=%d dropped=%d\n", sayAttached, r.Resumed(), have, dropped)
	var entry []byte
	for ; have < total; have++ {
		record, err := r.Receive(ctx)
		if err != nil {
			return err
		}
		if record.Missed+record.Gaps > 0 {
			return fmt.Errorf("missed %d, gaps %d before position %d", record.Missed, record.Gaps, record.Position)
		}
		entry = binary.LittleEndian.AppendUint64(entry[:0], record.Position)
		entry = binary.LittleEndian.AppendUint16(entry, record.Tag)
		entry = binary.LittleEndian.AppendUint32(entry, uint32(len(record.Payload)))
		if _, err := f.Write(append(entry, record.Payload...)); err != nil {
			return err
		}
	}
	return errors.Join(f.Close(), c.Close())
}

// rewind cuts the journal off at the first entry that is not before position.
func rewind(f *os.File, position uint64) (kept, dropped int, err error) {
	end := int64(0)
	err = eachEntry(f, func(at uint64, _ uint16, payload []byte) {
		if at >= position {
			dropped++
			return
		}
		kept, end = kept+1, end+journalHead+int64(len(payload))
	})
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	return kept, dropped, err
}

func eachEntry(f io.Reader, each func(position uint64, tag uint16, payload []byte)) error {
	in := bufio.NewReader(f)
	var head [journalHead]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		payload := make([]byte, binary.LittleEndian.Uint32(head[10:]))
		if _, err := io.ReadFull(in, payload); err != nil {
			return err
		}
		each(binary.LittleEndian.Uint64(head[:]), binary.LittleEndian.Uint16(head[8:]), payload)
	}
}

// manyRelay is the producers, each a brokerctl, and the readers.
type manyRelay struct {
	t       *testing.T
	p       place
	parts   [manyProducers][]byte
	inputs  [manyProducers]io.WriteCloser
	feeders [manyProducers]*harness.Process
	readers [feedReaders]*harness.Process
	written atomic.Int64
}

func (r *manyRelay) journal(reader int) string {
	return filepath.Join(r.p.Root, fmt.Sprintf("journal%d", reader))
}

func (r *manyRelay) startReader(i int) {
	r.readers[i] = harness.Launch(r.t, r.p.Role("journaling", r.journal(i), fmt.Sprintf("risk%d", i), strconv.Itoa(harness.FeedRecords)))
	r.readers[i].WaitSaid(sayAttached)
}

func newManyRelay(t *testing.T, p place, data []byte) *manyRelay {
	r := &manyRelay{t: t, p: p}
	n := 0
	for line := range bytes.Lines(data) {
		r.parts[n%manyProducers] = append(r.parts[n%manyProducers], line...)
		n++
	}
	for i := range r.readers {
		r.startReader(i)
	}
	for i := range r.feeders {
		cmd := p.Command("attach", "md", "--as", "producer", "--name", fmt.Sprintf("feed%d", i), "--tag", strconv.Itoa(i+1), "-o", "json")
		r.inputs[i] = pipeTo(t, cmd)
		r.feeders[i] = harness.Launch(t, cmd)
	}
	return r
}

// writeAll feeds all producers at once, each at its own pace.
func (r *manyRelay) writeAll() *sync.WaitGroup {
	var work sync.WaitGroup
	for i, part := range r.parts {
		work.Go(func() {
			for len(part) > 0 {
				n := min(len(part), 16<<10)
				if _, err := r.inputs[i].Write(part[:n]); err != nil {
					r.t.Errorf("write to producer %d: %v", i, err)
					return
				}
				r.written.Add(int64(n))
				part = part[n:]
				time.Sleep(2 * time.Millisecond)
			}
			if err := r.inputs[i].Close(); err != nil {
				r.t.Error(err)
			}
		})
	}
	return &work
}

// check compares what each reader wrote down, producer by producer, with what
// went in.
func (r *manyRelay) check() {
	for reader := range r.readers {
		f, err := os.Open(r.journal(reader))
		if err != nil {
			r.t.Fatal(err)
		}
		got, last := map[uint16]*digest{}, uint64(0)
		err = eachEntry(f, func(position uint64, tag uint16, payload []byte) {
			if got[tag] == nil {
				got[tag] = newDigest()
			}
			_, _ = got[tag].Write(append(payload, '\n')) // never fails
			if position < last {
				r.t.Errorf("reader %d: position %d after %d", reader, position, last)
			}
			last = position
		})
		if err := errors.Join(err, f.Close()); err != nil {
			r.t.Fatal(err)
		}
		if len(got) != manyProducers {
			r.t.Fatalf("reader %d has records of %d producers, want %d", reader, len(got), manyProducers)
		}
		for i, part := range r.parts {
			have, want := got[uint16(i+1)], newDigest()
			_, _ = want.Write(part) // never fails
			if have == nil || have.sum() != want.sum() {
				r.t.Errorf("reader %d: what producer %d sent is not what came", reader, i)
				continue
			}
			r.t.Logf("reader %d: producer %d: %d records, sha256 equal", reader, i, bytes.Count(part, []byte("\n")))
		}
	}
}

// TestWholeFeedOverManyProducers: three producers, three readers, one of which is
// killed and resumed, and five deaths of the daemon.
func TestWholeFeedOverManyProducers(t *testing.T) {
	data := harness.Feed(t)
	p := newPlace(t, manyRing)
	d := p.Start()
	r := newManyRelay(t, p, data)
	work := r.writeAll()
	arrived := func(share float64) {
		t.Helper()
		harness.Eventually(t, fmt.Sprintf("%.0f%% of the feed is written", 100*share), func() bool {
			return float64(r.written.Load()) >= share*float64(len(data))
		})
	}
	for n := range restarts {
		arrived(float64(n+1) / (restarts + 2))
		d.Kill()
		if n == 2 { // while no daemon runs
			r.readers[1].Kill()
		}
		time.Sleep(20 * time.Millisecond)
		d = p.Start()
		switch n {
		case 1:
			r.readers[0].Stop() // and this one loses nothing by a nap
			time.Sleep(50 * time.Millisecond)
			r.readers[0].Resume()
		case 2:
			r.startReader(1)
		case 3:
			r.readers[1].Signal(syscall.SIGKILL) // and while one does
			<-r.readers[1].Ended
			r.startReader(1)
		}
	}
	work.Wait()
	for _, f := range r.feeders {
		f.Expect(0)
	}
	for i, reader := range r.readers {
		reader.Expect(0)
		t.Logf("reader %d: %s", i, bytes.TrimSpace([]byte(reader.Stdout.String())))
	}
	r.check()
	fmt.Printf("counts: many feed: %d records over %d producers to %d readers, %d deaths of the daemon, 2 of a reader: all sha256 equal: %v\n",
		harness.FeedRecords, manyProducers, feedReaders, restarts, !t.Failed())
	var status client.Status
	p.Object(&status, "status")
	if len(status.Problems)+len(status.Quarantined) != 0 {
		t.Errorf("status of the last daemon: %+v", status)
	}
}
