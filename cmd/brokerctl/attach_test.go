package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"brokerd/client"
)

const oneRing = "[{name: md, capacity: 64KiB, record_max: 1KiB}]"

// consume starts a consumer and waits until it is attached.
func (h *host) consume(stdout io.Writer, name string, more ...string) *running {
	h.t.Helper()
	r := h.start(nil, stdout, append([]string{"attach", "md", "--as", "consumer", "--name", name}, more...)...)
	h.attached(name)
	return r
}

// produce publishes stdin and returns what came of it.
func (h *host) produce(stdin string, more ...string) outcome {
	h.t.Helper()
	return brokerctl(h.t.Context(), stdin, append([]string{"--socket", h.socket, "attach", "md", "--as", "producer"}, more...)...)
}

func TestAttachMovesLines(t *testing.T) {
	h := newHost(t, oneRing)
	var out buffer
	r := h.consume(&out, "book", "--policy", "block", "--until-end")
	const lines = "one\n\ntwo\r\nlast"
	got := h.produce(lines, "--end", "--name", "feed")
	if got.code != exitDone || !regexp.MustCompile(`^brokerctl: md: 4 records, 11 bytes, \d+ records/s, dropped 0\n$`).MatchString(got.stderr) {
		t.Errorf("producer: %+v", got)
	}
	if code := r.wait(); code != exitDone || out.String() != lines+"\n" {
		t.Errorf("consumer: exit code %d, %q", code, out.String())
	}
	if !regexp.MustCompile(`^brokerctl: md: 4 records, 11 bytes, \d+ records/s, missed 0, gaps 0, latency p50 \S+s p99 \S+s\n$`).MatchString(r.stderr.String()) {
		t.Errorf("consumer: %q", r.stderr.String())
	}
}

func TestAttachMovesFrames(t *testing.T) {
	h := newHost(t, oneRing)
	const frames = "\x00\x00\x00\x03a\nb\x00\x00\x00\x00"
	if got := h.produce(frames+"\x00\x00", "--framing", "u32be", "-o", "json"); got.code != exitFailed ||
		!strings.Contains(got.stderr, "truncated: the record at byte offset 11 ends after 2 of its 4-byte length") {
		t.Errorf("truncated input: %+v", got)
	} else {
		var report summaryReport
		decodeStrict(t, strings.SplitAfter(got.stderr, "\n")[0], &report)
		if report.Records != 2 || report.Bytes != 3 || report.Role != roleProducer || report.Latency != nil {
			t.Errorf("summary: %+v", report)
		}
	}
	got := h.run("attach", "md", "--as", "consumer", "--from", "oldest", "--count", "2", "--framing", "u32be", "-o", "json")
	var report summaryReport
	decodeStrict(t, got.stderr, &report)
	if got.code != exitDone || got.stdout != frames || report.Records != 2 || report.Latency == nil || report.Latency.Count != 2 {
		t.Errorf("got %+v, %+v", got, report)
	}
}

// TestConsumerWritesAtOnce sees a record through a pipe while the consumer waits
// for more, and ends it as a signal does.
func TestConsumerWritesAtOnce(t *testing.T) {
	h := newHost(t, oneRing)
	r, w := io.Pipe()
	consumer := h.consume(w, "book")
	for _, line := range []string{"one\n", "two\n"} {
		if got := h.produce(line); got.code != exitDone {
			t.Fatalf("producer: %+v", got)
		}
		buf := make([]byte, 64)
		if n, err := r.Read(buf); err != nil || string(buf[:n]) != line {
			t.Fatalf("got %q, %v", buf[:n], err)
		}
	}
	consumer.cancel()
	if code := consumer.wait(); code != exitDone || !strings.Contains(consumer.stderr.String(), ": 2 records, 6 bytes") {
		t.Errorf("exit code %d, %q", code, consumer.stderr.String())
	}
	if list := h.good("attachments").stdout; strings.Count(list, "\n") != 1 {
		t.Errorf("still attached:\n%s", list)
	}
}

// TestClosedOutput ends a consumer whose output nobody reads any more.
func TestClosedOutput(t *testing.T) {
	h := newHost(t, oneRing)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	consumer := h.consume(w, "book")
	if got := h.produce("one\n"); got.code != exitDone {
		t.Fatalf("producer: %+v", got)
	}
	if code := consumer.wait(); code != exitDone {
		t.Errorf("exit code %d, %q", code, consumer.stderr.String())
	}
	broken := h.consume(failing{}, "broken")
	if got := h.produce("one\n"); got.code != exitDone {
		t.Fatalf("producer: %+v", got)
	}
	if code := broken.wait(); code != exitFailed || !strings.Contains(broken.stderr.String(), "disk full") {
		t.Errorf("an output that fails: exit code %d, %q", code, broken.stderr.String())
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestCountAndFrom(t *testing.T) {
	h := newHost(t, oneRing)
	if got := h.produce("a\nb\nc\n"); got.code != exitDone {
		t.Fatalf("producer: %+v", got)
	}
	if got := h.run("attach", "md", "--as", "consumer", "--from", "oldest", "--count", "2"); got.code != exitDone || got.stdout != "a\nb\n" {
		t.Errorf("two from the oldest: %+v", got)
	}
	if got := h.run("attach", "md", "--as", "consumer", "--from", "32", "--count", "1"); got.code != exitDone || got.stdout != "b\n" {
		t.Errorf("one from the second: %+v", got)
	}
	for _, from := range []string{"16", "33", "1000000"} {
		if got := h.run("attach", "md", "--as", "consumer", "--from", from); got.code != exitRefused || !strings.Contains(got.stderr, "position "+from) {
			t.Errorf("from %s: %+v", from, got)
		}
	}
	if got := h.produce("d\ne\nf\n", "--count", "2"); got.code != exitDone || !strings.Contains(got.stderr, ": 2 records") {
		t.Errorf("a producer of two: %+v", got)
	}
}

func TestLineTooLong(t *testing.T) {
	h := newHost(t, oneRing)
	got := h.produce("one\n" + strings.Repeat("x", 1024) + "\n" + strings.Repeat("y", 1025) + "\nfour\n")
	if got.code != exitFailed || !strings.Contains(got.stderr, ": 2 records, 1027 bytes") ||
		!strings.Contains(got.stderr, "line 3 of the input is 1025 bytes, record_max of the ring is 1024") {
		t.Errorf("got %+v", got)
	}
}

// noticed is a writer that tells when it is first written to.
type noticed struct {
	w     io.Writer
	once  sync.Once
	begun chan struct{}
}

func (n *noticed) Write(p []byte) (int, error) {
	n.once.Do(func() { close(n.begun) })
	return n.w.Write(p)
}

// TestProducerOnFull meets a reader that holds it.
func TestProducerOnFull(t *testing.T) {
	h := newHost(t, oneRing)
	r, w := io.Pipe() // not read, so the reader stops and holds the producer
	stuck := &noticed{w: w, begun: make(chan struct{})}
	reader := h.consume(stuck, "stuck", "--policy", "block", "--from", "oldest")
	line := strings.Repeat("x", 999) + "\n"
	const sent = 300
	lines := strings.Repeat(line, sent)

	dropping := func() (report summaryReport) {
		t.Helper()
		got := h.produce(lines, "--on-full", "drop", "-o", "json")
		decodeStrict(t, got.stderr, &report)
		if got.code != exitDone || report.Records+report.Dropped != sent {
			t.Errorf("drop: %+v", got)
		}
		return report
	}
	dropping()
	<-stuck.begun // from here on the reader reads nothing
	for dropping().Records > 0 {
	}
	if got := h.produce(lines, "--on-full", "fail"); got.code != exitFailed || !strings.Contains(got.stderr, "ring is full") {
		t.Errorf("fail: %+v", got)
	}

	input, feed := io.Pipe()
	held := h.start(input, io.Discard, "attach", "md", "--as", "producer", "-o", "json")
	if _, err := io.WriteString(feed, line+line+line+"unfinished"); err != nil { // returns when it was read
		t.Fatal(err)
	}
	held.cancel()
	if code := held.wait(); code != exitFailed {
		t.Errorf("stopped while held: exit code %d", code)
	}
	lineOne, rest, _ := strings.Cut(held.stderr.String(), "\n")
	var report summaryReport
	decodeStrict(t, lineOne, &report)
	if report.Records+report.Unpublished < 3 || report.Unpublished == 0 || !strings.Contains(rest, "stopped before everything was published") {
		t.Errorf("stopped while held: %s", held.stderr.String())
	}

	go func() { _, _ = io.Copy(io.Discard, r) }()
	reader.cancel()
	if code := reader.wait(); code != exitDone {
		t.Errorf("the reader: exit code %d, %s", code, reader.stderr.String())
	}
	_ = w.Close()
	_ = feed.Close()
}

// TestProducerStopsReading is stopped while it waits for input.
func TestProducerStopsReading(t *testing.T) {
	h := newHost(t, oneRing)
	var out buffer
	reader := h.consume(&out, "book", "--until-end")
	r, w := io.Pipe()
	producer := h.start(r, io.Discard, "attach", "md", "--as", "producer", "--name", "feed", "--end")
	h.attached("feed")
	if _, err := io.WriteString(w, "one\nunfinished"); err != nil {
		t.Fatal(err)
	}
	h.eventually("the line has arrived", func() bool { return out.String() == "one\n" })
	producer.cancel()
	if code := producer.wait(); code != exitDone || !strings.Contains(producer.stderr.String(), ": 1 records, 3 bytes") {
		t.Errorf("producer: exit code %d, %q", code, producer.stderr.String())
	}
	if code := reader.wait(); code != exitDone || out.String() != "one\n" {
		t.Errorf("reader: exit code %d, %q", code, out.String())
	}
	_ = w.Close() // lets the goroutine that reads end
}

// TestMissed has readers of each policy overrun.
func TestMissed(t *testing.T) {
	h := newHost(t, "[{name: md, capacity: 64KiB, record_max: 1KiB, demote_after: 1ms}]")
	for policy, want := range map[string]int{"demote": exitMissed, "skip": exitDone} {
		r, w := io.Pipe()
		reader := h.consume(w, policy, "--policy", policy, "--until-end")
		if got := h.produce(strings.Repeat(strings.Repeat("x", 999)+"\n", 1000), "--end"); got.code != exitDone {
			t.Fatalf("producer: %+v", got)
		}
		go func() { _, _ = io.Copy(io.Discard, r) }()
		code := reader.wait()
		_ = w.Close()
		stderr := reader.stderr.String()
		if code != want || strings.Contains(stderr, "missed 0") {
			t.Errorf("%s: exit code %d, %s", policy, code, stderr)
		}
		if policy == "demote" && !strings.Contains(stderr, "this demote reader missed") {
			t.Errorf("%s", stderr)
		}
	}
}

func TestWaitFor(t *testing.T) {
	h := newHost(t, "[]")
	got := h.run("attach", "md", "--as", "consumer", "--wait-for", "20ms")
	if got.code != exitRefused || !strings.HasPrefix(got.stderr, "brokerctl: waited 20ms: there is no ring md") ||
		strings.Count(got.stderr, "\n") != 1 || strings.Contains(got.stderr, "context") {
		t.Errorf("a ring that does not come: %+v", got)
	}
	var out buffer
	r := h.start(nil, &out, "attach", "md", "--as", "consumer", "--wait-for", waitMax.String(), "--until-end", "--name", "book")
	h.good("ring", "create", "md", "--capacity", "64KiB")
	h.attached("book")
	if got := h.produce("one\n", "--end"); got.code != exitDone {
		t.Fatalf("producer: %+v", got)
	}
	if code := r.wait(); code != exitDone || out.String() != "one\n" {
		t.Errorf("exit code %d, %q, %s", code, out.String(), r.stderr.String())
	}
	waiting := h.start(nil, io.Discard, "attach", "other", "--as", "consumer", "--wait-for", "1h")
	waiting.cancel()
	if code := waiting.wait(); code != exitDone {
		t.Errorf("stopped while waiting: exit code %d, %s", code, waiting.stderr.String())
	}
}

func TestAttachEndsWithTheRing(t *testing.T) {
	h := newHost(t, oneRing)
	removed := h.consume(io.Discard, "a")
	h.good("ring", "rm", "md", "--force")
	if code := removed.wait(); code != exitFailed || !strings.Contains(removed.stderr.String(), "ring was removed") {
		t.Errorf("ring removed: exit code %d, %s", code, removed.stderr.String())
	}
	h.good("ring", "create", "md", "--capacity", "64KiB")
	detached := h.consume(io.Discard, "b")
	h.good("detach", h.attached("b").ID)
	if code := detached.wait(); code != exitFailed || !strings.Contains(detached.stderr.String(), "ended by the daemon") {
		t.Errorf("detached: exit code %d, %s", code, detached.stderr.String())
	}
}

func TestSummary(t *testing.T) {
	s := newSummary("md", roleConsumer)
	if text := s.String(); text != "md: 0 records, 0 bytes, 0 records/s, missed 0, gaps 0, latency p50 - p99 -" {
		t.Errorf("nothing: %q", text)
	}
	s.add(5, time.Now().Add(time.Hour).UnixNano())
	s.add(7, time.Now().Add(-2*time.Hour).UnixNano())
	s.add(9, 0)
	s.first = s.last.Add(-2 * time.Second)
	s.filtered, s.checksums = 4, 6
	text := s.String()
	if !strings.HasPrefix(text, "md: 3 records, 21 bytes, 1 records/s, missed 0, gaps 0, filtered 4, wrong checksums 6, latency p50 1h0m") ||
		!strings.HasSuffix(text, "(1 negative)") {
		t.Errorf("got %q", text)
	}
	var stderr bytes.Buffer
	var report summaryReport
	c := &cli{stderr: &stderr, output: newChoice("json")}
	if err := c.printSummary(s); err != nil {
		t.Fatal(err)
	}
	decodeStrict(t, stderr.String(), &report)
	if report.Latency.Negative != 1 || report.Seconds != 2 || report.Filtered != 4 || report.Checksums != 6 {
		t.Errorf("got %+v", report)
	}
}

func TestExitCodes(t *testing.T) {
	refusal := &client.Error{Name: client.ErrRingNotFound}
	for _, tc := range []struct {
		err  error
		want int
	}{
		{nil, exitDone}, {errors.New("x"), exitFailed}, {usagef("x"), exitUsage}, {refusal, exitRefused},
		{fmt.Errorf("x: %w", client.ErrUnreachable), exitUnreachable}, {&missedError{}, exitMissed},
		{errors.Join(&missedError{}, client.ErrLost), exitMissed}, {fmt.Errorf("%w: %w", client.ErrLost, refusal), exitFailed},
		{errors.Join(&missedError{}, &checksumError{}), exitFailed}, {&client.PositionError{}, exitRefused}, {client.ErrRemoved, exitFailed}, {client.ErrFull, exitFailed},
	} {
		if got := exitCode(tc.err); got != tc.want {
			t.Errorf("%v: got %d, want %d", tc.err, got, tc.want)
		}
	}
}
