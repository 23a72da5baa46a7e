package remote_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// feedSlice is a part of a recorded market data feed, a message a line.
func feedSlice(t *testing.T) string {
	t.Helper()
	f, err := os.Open("../testdata/feed-slice.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const feedRing = "[{name: md, capacity: 16MiB, record_max: 64KiB}]"

// reader is a brokerctl that writes records into a file.
type reader struct {
	*harness.Process
	file string
}

func (s *site) read(t *testing.T, address string, args ...string) reader {
	t.Helper()
	cmd := s.remote(address, append([]string{"md", "--as", "consumer", "--from", "oldest", "--policy", "block", "--until-end"}, args...)...)
	return readInto(t, cmd)
}

func readInto(t *testing.T, cmd *exec.Cmd) reader {
	t.Helper()
	file := filepath.Join(t.TempDir(), "out")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	cmd.Stdout = out
	return reader{harness.Launch(t, cmd), file}
}

// wants waits for the end, and compares what was written.
func (r reader) wants(t *testing.T, want string) {
	t.Helper()
	r.Expect(0)
	got, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, []byte(want)) {
		t.Errorf("%d bytes in %d lines were read, want %d in %d: %s", len(got), bytes.Count(got, []byte("\n")), len(want), strings.Count(want, "\n"),
			firstDifference(string(got), want))
	}
}

// firstDifference shows the first line that differs, for a message.
func firstDifference(got, want string) string {
	a, b := strings.SplitAfter(got, "\n"), strings.SplitAfter(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("line %d is %.60q, want %.60q", i+1, a[i], b[i])
		}
	}
	return "one is the beginning of the other"
}

// TestPipeline: two processes without a daemon of their own, and the feed byte by
// byte.
func TestPipeline(t *testing.T) {
	feed := feedSlice(t)
	bothWays(t, func(t *testing.T, tls bool) {
		s := newSite(t, tls, feedRing)
		s.Start()
		r := s.read(t, s.address, "--name", "book")
		p := s.launch(feed, s.address, "md", "--as", "producer", "--name", "feed", "--end")
		p.Expect(0)
		r.wants(t, feed)
		for _, text := range []string{"md: 8000 records", "dropped 0"} {
			if !strings.Contains(p.Stderr.String(), text) {
				t.Errorf("the producer says %q, want %q", p.Stderr, text)
			}
		}
		if !strings.Contains(r.Stderr.String(), "md: 8000 records") || !strings.Contains(r.Stderr.String(), "missed 0, gaps 0, latency p50") {
			t.Errorf("the consumer says %q", r.Stderr)
		}
	})
}

// TestSmallRing: the ring holds a hundredth of the feed, so that each side has to
// wait for the other all the time.
func TestSmallRing(t *testing.T) {
	feed := feedSlice(t)
	s := newSite(t, false, "[{name: md, capacity: 256KiB, record_max: 30000B}]")
	s.Start()
	r := s.read(t, s.address)
	harness.WaitAttached(t, s.Dial(), "md", 1)
	s.launch(feed, s.address, "md", "--as", "producer", "--end").Expect(0)
	r.wants(t, feed)
}

// TestConnectionsAreCut: every 200 ms all connections are reset, of the producer
// and of the consumer. Nothing is lost, nothing comes twice.
func TestConnectionsAreCut(t *testing.T) {
	const cuts = 10
	feed := feedSlice(t)
	bothWays(t, func(t *testing.T, tls bool) {
		s := newSite(t, tls, feedRing)
		s.Start()
		through := newProxy(t, s.address)
		r := s.read(t, through.address)
		cmd := s.remote(through.address, "md", "--as", "producer", "--name", "feed", "--end")
		w, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		p := harness.Launch(t, cmd)
		stop := through.resetEvery(200 * time.Millisecond)
		lines := strings.SplitAfter(feed, "\n")
		for i, line := range lines {
			if _, err := io.WriteString(w, line); err != nil {
				t.Fatal(err)
			}
			if i%(len(lines)/100) == 0 {
				time.Sleep(cuts * 200 * time.Millisecond / 100)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		p.Expect(0)
		n := stop()
		if n < cuts {
			t.Errorf("%d connections were cut, that is too easy", n)
		}
		t.Logf("%d connections were cut", n)
		r.wants(t, feed)
	})
}

// TestDaemonIsKilled while a remote client publishes: what is in the ring then is
// each record once, in order.
func TestDaemonIsKilled(t *testing.T) {
	const (
		records = 60_000
		kills   = 4
	)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	killAt := map[int]bool{}
	for len(killAt) < kills {
		killAt[random.IntN(records)] = true
	}
	s := newSite(t, false, "[{name: md, capacity: 16MiB, record_max: 1KiB}]")
	d := s.Start()
	remote := s.dial(t, s.address)
	ctx := harness.Bounded(t)
	p, err := remote.Producer(ctx, "md", client.ProducerOptions{Name: "feed"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if killAt[i] {
			d.Kill() // amid what is being sent
			d = s.Start()
		}
		if err := p.Send(ctx, fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	if err := p.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	local := s.Dial()
	r, err := local.Consumer(ctx, "md", client.ConsumerOptions{From: client.FromOldest()})
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		record, err := r.Receive(ctx)
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if want := fmt.Sprint(i); string(record.Payload) != want || record.Missed+record.Gaps != 0 {
			t.Fatalf("record %d is %q, missed %d, gaps %d", i, record.Payload, record.Missed, record.Gaps)
		}
	}
	if _, err := r.TryReceive(); err != client.ErrEmpty {
		t.Errorf("after the last one: %v", err)
	}
}
