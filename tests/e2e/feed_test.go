package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// feedReaders is how many readers take the whole feed at a time.
const feedReaders = 3

// digest hashes what is written to it, and can be asked how much that was.
type digest struct {
	mu    sync.Mutex
	hash  hash.Hash
	bytes int
}

func newDigest() *digest { return &digest{hash: sha256.New()} }

func (d *digest) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bytes += len(p)
	return d.hash.Write(p)
}

func (d *digest) size() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bytes
}

func (d *digest) sum() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Sprintf("%x", d.hash.Sum(nil))
}

// relay is one producer and three lossless readers, all brokerctl processes.
type relay struct {
	t        *testing.T
	producer *harness.Process
	input    io.WriteCloser
	readers  [feedReaders]*harness.Process
	outputs  [feedReaders]*digest
}

func newRelay(t *testing.T, p place, c *client.Client) *relay {
	t.Helper()
	r := &relay{t: t}
	for i := range r.readers {
		cmd := p.Command("attach", "md", "--as", "consumer", "--policy", "block", "--from", "oldest", "--until-end",
			"--name", fmt.Sprintf("reader%d", i), "-o", "json")
		r.outputs[i] = newDigest()
		cmd.Stdout = r.outputs[i]
		r.readers[i] = harness.Launch(t, cmd)
	}
	// The policy of a reader is listed when it is granted, its gate is set a
	// little later: the first record is for all only once all read.
	harness.WaitAttached(t, c, "md", len(r.readers))
	cmd := p.Command("attach", "md", "--as", "producer", "--name", "feed", "--end", "-o", "json")
	r.input = pipeTo(t, cmd)
	r.producer = harness.Launch(t, cmd)
	harness.WaitAttached(t, c, "md", len(r.readers)+1)
	return r
}

func (r *relay) write(data []byte) {
	r.t.Helper()
	if _, err := r.input.Write(data); err != nil {
		r.t.Fatalf("write to the producer: %v", err)
	}
}

// arrived waits until every reader has written so many bytes.
func (r *relay) arrived(bytes int) {
	r.t.Helper()
	for i, out := range r.outputs {
		harness.Eventually(r.t, fmt.Sprintf("%d bytes at reader %d, which has %d", bytes, i, out.size()), func() bool { return out.size() >= bytes })
	}
}

// summary is what brokerctl attach -o json tells when it ends.
type summary struct {
	Ring        string  `json:"ring"`
	Role        string  `json:"role"`
	Records     uint64  `json:"records"`
	Bytes       uint64  `json:"bytes"`
	PerSecond   float64 `json:"records_per_second"`
	Missed      uint64  `json:"missed_records"`
	Gaps        uint64  `json:"gap_records"`
	Dropped     uint64  `json:"dropped_records"`
	Unpublished uint64  `json:"unpublished_records"`
	Latency     *struct {
		P50 int64 `json:"p50_ns"`
		P99 int64 `json:"p99_ns"`
	} `json:"latency"`
}

// summaryOf reads the summary, the one line of stderr that is an object.
func summaryOf(p *harness.Process) summary {
	p.T.Helper()
	var s summary
	found := 0
	for line := range strings.Lines(p.Stderr.String()) {
		if strings.HasPrefix(line, "{") {
			found++
			if err := json.Unmarshal([]byte(line), &s); err != nil {
				p.T.Fatalf("summary %q: %v", line, err)
			}
		}
	}
	if found != 1 {
		p.T.Fatalf("%q: %d summaries on stderr, want 1:\n%s", p.Cmd.Args, found, p.Stderr)
	}
	return s
}

// finish ends the input and compares what came out with what went in.
func (r *relay) finish(data []byte) {
	t := r.t
	t.Helper()
	if err := r.input.Close(); err != nil {
		t.Fatal(err)
	}
	r.producer.Expect(0)
	want, records := newDigest(), uint64(bytes.Count(data, []byte("\n")))
	_, _ = want.Write(data) // never fails
	if s := summaryOf(r.producer); s.Records != records || s.Bytes != uint64(len(data))-records || s.Dropped != 0 {
		t.Errorf("the producer published %+v, want %d records, %d bytes", s, records, uint64(len(data))-records)
	}
	for i, reader := range r.readers {
		reader.Expect(0)
		s := summaryOf(reader)
		if got := r.outputs[i].sum(); got != want.sum() {
			t.Errorf("reader %d: %d bytes with sha256 %s came out, want %d with %s", i, r.outputs[i].size(), got, len(data), want.sum())
		}
		if s.Records != records || s.Missed != 0 || s.Gaps != 0 {
			t.Errorf("reader %d: %+v, want %d records, none missed", i, s, records)
		}
		if s.Latency == nil {
			t.Errorf("reader %d tells no latency", i)
			continue
		}
		t.Logf("reader %d: %d records, %.0f records/s, latency p50 %d us, p99 %d us", i, s.Records, s.PerSecond, s.Latency.P50/1000, s.Latency.P99/1000)
	}
}

// feedRing is far smaller than the feed.
const feedRing = "[{name: md, capacity: 4MiB}]"

// TestWholeFeed sends the feed to three lossless readers.
func TestWholeFeed(t *testing.T) {
	data := harness.Feed(t)
	p := newPlace(t, feedRing)
	p.Start()
	c := p.Dial()
	r := newRelay(t, p, c)
	first := bytes.IndexByte(data, '\n') + 1
	r.write(data[:first])
	r.arrived(first)
	r.write(data[first:])
	r.finish(data)
	harness.Eventually(t, "everybody is detached", func() bool { return len(harness.Attachments(t, c, "md")) == 0 })
}
