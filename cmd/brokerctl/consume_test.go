package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"brokerd/client"
)

const twoRings = "[{name: md, capacity: 64KiB, record_max: 1KiB}, {name: fills, capacity: 64KiB}]"

// publish publishes lines into a ring.
func (h *host) publish(ring, lines string, more ...string) {
	h.t.Helper()
	args := append([]string{"--socket", h.socket, "attach", ring, "--as", "producer"}, more...)
	if got := brokerctl(h.t.Context(), lines, args...); got.code != exitDone {
		h.t.Fatalf("publish into %s: %+v", ring, got)
	}
}

// TestSeveralRings reads two rings into one output.
func TestSeveralRings(t *testing.T) {
	h := newHost(t, twoRings)
	h.publish("md", "a\nb\n", "--end")
	var out buffer
	r := h.start(nil, &out, "attach", "md", "fills", "--as", "consumer", "--from", "oldest", "--until-end", "--name", "both")
	h.eventually("the records of one", func() bool { return out.String() == "md\ta\nmd\tb\n" })
	h.publish("fills", "c\td\n\n", "--end")
	if code := r.wait(); code != exitDone || out.String() != "md\ta\nmd\tb\nfills\tc\td\nfills\t\n" {
		t.Errorf("exit code %d, %q", code, out.String())
	}
	want := regexp.MustCompile(`^brokerctl: md: 2 records, 2 bytes, .* missed 0, gaps 0, latency .*
brokerctl: fills: 2 records, 3 bytes, .*
$`)
	if !want.MatchString(r.stderr.String()) {
		t.Errorf("summaries: %q", r.stderr.String())
	}
	got := h.run("attach", "fills", "md", "--as", "consumer", "--from", "oldest", "--until-end", "--framing", "u32be", "-o", "json")
	var reports []summaryReport
	for line := range strings.Lines(got.stderr) {
		var report summaryReport
		decodeStrict(t, line, &report)
		reports = append(reports, report)
	}
	if got.code != exitDone || len(reports) != 2 || reports[0].Ring != "fills" || reports[1].Ring != "md" {
		t.Errorf("got %+v", got)
	}
	frames, err := readAll(newU32Reader(strings.NewReader(got.stdout), 100))
	if err != nil || !slices.Equal(frames, []string{"fills", "c\td", "fills", "", "md", "a", "md", "b"}) {
		t.Errorf("frames %q, %v", frames, err)
	}
	if got := h.run("attach", "md", "fills", "--as", "consumer", "--from", "oldest", "--count", "3"); got.code != exitDone || strings.Count(got.stdout, "\n") != 3 {
		t.Errorf("three of both: %+v", got)
	}
}

// TestSeveralRingsTakeTurns wants records of a quiet ring between those of one that
// has plenty.
func TestSeveralRingsTakeTurns(t *testing.T) {
	h := newHost(t, twoRings)
	h.publish("md", strings.Repeat("x\n", 4*turnRecordsMax/2), "--end")
	h.publish("fills", "y\n", "--end")
	got := h.good("attach", "md", "fills", "--as", "consumer", "--from", "oldest", "--until-end").stdout
	if at := strings.Count(got[:strings.Index(got, "fills\t")], "\n"); at != turnRecordsMax {
		t.Errorf("it came after %d records, want %d", at, turnRecordsMax)
	}
}

// TestSeveralRingsFail together: with one that is not there, and with one that is
// removed.
func TestSeveralRingsFail(t *testing.T) {
	h := newHost(t, twoRings)
	got := h.run("attach", "md", "nowhere", "--as", "consumer")
	if got.code != exitRefused || !strings.Contains(got.stderr, "no ring nowhere") || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("one that is not there: %+v", got)
	}
	if list := h.good("attachments").stdout; strings.Count(list, "\n") != 1 {
		t.Errorf("still attached:\n%s", list)
	}
	var out buffer
	r := h.start(nil, &out, "attach", "md", "fills", "--as", "consumer", "--name", "both", "--from", "oldest")
	h.publish("md", "a\n")
	h.eventually("the record", func() bool { return out.String() == "md\ta\n" })
	h.good("ring", "rm", "fills", "--force")
	if code := r.wait(); code != exitFailed || !strings.Contains(r.stderr.String(), "ring was removed") || !strings.Contains(r.stderr.String(), "md: 1 records") {
		t.Errorf("one that is removed: exit code %d, %s", code, r.stderr.String())
	}
}

// TestEndOfStreamIsTold where it does not end the reading.
func TestEndOfStreamIsTold(t *testing.T) {
	h := newHost(t, oneRing)
	h.publish("md", "a\n", "--end")
	h.publish("md", "b\n")
	got := h.run("attach", "md", "--as", "consumer", "--from", "oldest", "--count", "2")
	if got.code != exitDone || got.stdout != "a\nb\n" ||
		!regexp.MustCompile(`^brokerctl: md: end of stream after record 1, position \d+; .*\n.*: 2 records.*\n$`).MatchString(got.stderr) {
		t.Errorf("got %+v", got)
	}
}

func TestTags(t *testing.T) {
	h := newHost(t, oneRing)
	h.publish("md", "one\n", "--tag", "1")
	h.publish("md", "none\n")
	h.publish("md", "top\n", "--tag", "65535")
	h.publish("md", "two\n", "--tag", "2", "--end")
	for want, tags := range map[string][]string{
		"one\ntwo\n":            {"--tag", "1,2"},
		"one\ntop\n":            {"--tag", "65535", "--tag", "1"},
		"none\n":                {"--tag", "0"},
		"":                      {"--tag", "7"},
		"one\nnone\ntop\ntwo\n": nil,
	} {
		got := h.good(append([]string{"attach", "md", "--as", "consumer", "--from", "oldest", "--until-end"}, tags...)...)
		passed := 4 - strings.Count(want, "\n")
		if got.stdout != want || strings.Contains(got.stderr, "filtered") != (passed > 0) {
			t.Errorf("%q: got %+v", tags, got)
		}
	}
}

// TestResume goes on where another reader of that name has stopped.
func TestResume(t *testing.T) {
	h := newHost(t, "[{name: md, capacity: 64KiB, record_max: 1KiB, resume_for: 1h}]")
	h.publish("md", "a\nb\nc\nd\n", "--end")
	resume := func(more ...string) outcome {
		h.t.Helper()
		return h.run(append([]string{"attach", "md", "--as", "consumer", "--name", "risk", "--from", "resume"}, more...)...)
	}
	got := resume("--count", "2")
	if got.code != exitDone || got.stdout != "a\nb\n" ||
		!strings.HasPrefix(got.stderr, "brokerctl: md: no cursor of risk to resume; it begins at the oldest record, position 0\n") {
		t.Errorf("the first: %+v", got)
	}
	list := h.good("attachments").stdout
	if !regexp.MustCompile(`(?m)^md/c.* resumable .* kept until 2\d\d\d-`).MatchString(list) {
		t.Errorf("the cursor:\n%s", list)
	}
	got = resume("--count", "1")
	if got.code != exitDone || got.stdout != "c\n" || !strings.HasPrefix(got.stderr, "brokerctl: md: resumed the cursor of risk at position 64, missed 0\n") {
		t.Errorf("the second: %+v", got)
	}
	got = resume("--until-end", "-o", "json")
	note, summary, _ := strings.Cut(got.stderr, "\n")
	var report summaryReport
	decodeStrict(t, summary, &report)
	if got.code != exitDone || got.stdout != "d\n" || !strings.Contains(note, "position 96") || !report.Resumed || report.Start != 96 {
		t.Errorf("the third: %+v", got)
	}
}

// TestKeptCursorIsWrittenUp wants each record out before the next one is asked for
// where a kill must not lose it, and only there.
func TestKeptCursorIsWrittenUp(t *testing.T) {
	h := newHost(t, "[{name: md, capacity: 64KiB, resume_for: 1h}]")
	h.publish("md", "a\nb\nc\n")
	for want, name := range map[string][]string{"a\n|b\n|c\n|": {"--name", "risk"}, "a\nb\nc\n|": nil} {
		var out writes
		args := []string{"--socket", h.socket, "attach", "md", "--as", "consumer", "--from", "oldest", "--count", "3"}
		if got := brokerctlTo(t.Context(), &out, append(args, name...)...); got.code != exitDone || string(out) != want {
			t.Errorf("%q: %+v, wrote %q, want %q", name, got, out, want)
		}
	}
}

// writes is what was written, with a bar after each write.
type writes []byte

func (w *writes) Write(p []byte) (int, error) {
	*w = append(append(*w, p...), '|')
	return len(p), nil
}

// TestResumeMissed resumes a cursor that was overwritten.
func TestResumeMissed(t *testing.T) {
	h := newHost(t, "[{name: md, capacity: 64KiB, record_max: 1KiB, resume_for: 1h}]")
	h.publish("md", "a\n")
	first := h.run("attach", "md", "--as", "consumer", "--name", "ui", "--policy", "skip", "--from", "oldest", "--count", "1")
	if first.code != exitDone {
		t.Fatalf("the first: %+v", first)
	}
	h.publish("md", strings.Repeat(strings.Repeat("x", 999)+"\n", 200), "--end")
	got := h.run("attach", "md", "--as", "consumer", "--name", "ui", "--policy", "skip", "--from", "resume", "--until-end", "-o", "json")
	note, summary, _ := strings.Cut(got.stderr, "\n")
	var report summaryReport
	decodeStrict(t, summary, &report)
	missed := regexp.MustCompile(`^brokerctl: md: resumed the cursor of ui at position \d+, missed ([1-9]\d*)$`)
	if got.code != exitDone || !missed.MatchString(note) || report.Missed == 0 || report.Missed+report.Records != 200 {
		t.Errorf("got %s, %+v", note, report)
	}
}

// TestCursorInUse asks for the cursor of a process that lives.
func TestCursorInUse(t *testing.T) {
	h := newHost(t, "[{name: md, capacity: 64KiB, resume_for: 1h}]")
	h.consume(&buffer{}, "risk")
	got := h.run("attach", "md", "--as", "consumer", "--name", "risk", "--from", "resume")
	if got.code != exitRefused || !strings.Contains(got.stderr, "risk") || !strings.Contains(got.stderr, "pid") {
		t.Errorf("got %+v", got)
	}
}

// TestWrongChecksums changes bytes of records after they were published.
func TestWrongChecksums(t *testing.T) {
	h := newHost(t, "[{name: md, capacity: 64KiB, record_max: 1KiB, checksum: true}]")
	const bad = checksumLinesMax + 2
	h.publish("md", "good\n"+strings.Repeat("spoil me\n", bad)+"good\n", "--end")
	spoil(t, filepath.Join(h.dir, "md", "data"), "spoil me", bad)
	got := h.run("attach", "md", "--as", "consumer", "--from", "oldest", "--until-end")
	if got.code != exitFailed || got.stdout != "good\ngood\n" || strings.Count(got.stderr, "it is left out") != checksumLinesMax ||
		!strings.Contains(got.stderr, "md: 2 records") || !strings.Contains(got.stderr, "wrong checksums 7") ||
		!strings.HasSuffix(got.stderr, "brokerctl: ring md: 7 records had a wrong checksum and were left out: something wrote over them\n") {
		t.Errorf("got %+v", got)
	}
	got = h.run("attach", "md", "--as", "consumer", "--from", "oldest", "--count", "1", "-o", "json")
	var report summaryReport
	decodeStrict(t, got.stderr, &report)
	if got.code != exitDone || report.Checksums != 0 {
		t.Errorf("before the first bad one: %+v", got)
	}
}

// spoil changes a byte of each of n records that hold text.
func spoil(t *testing.T, file, text string, n int) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := os.ReadFile(file)
	if err != nil || bytes.Count(data, []byte(text)) != n {
		t.Fatalf("%d records of %q, %v; want %d", bytes.Count(data, []byte(text)), text, err, n)
	}
	for at := 0; ; at++ {
		next := bytes.Index(data[at:], []byte(text))
		if next < 0 {
			return
		}
		at += next
		if _, err := f.WriteAt([]byte{data[at] ^ 1}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPolicyLatest is given the newest record only.
func TestPolicyLatest(t *testing.T) {
	h := newHost(t, oneRing)
	h.publish("md", "a\nb\nc\n", "--end")
	got := h.good("attach", "md", "--as", "consumer", "--from", "oldest", "--policy", "latest", "--count", "1")
	if got.stdout != "c\n" || !strings.Contains(got.stderr, "missed 2") {
		t.Errorf("got %+v", got)
	}
}

// TestManyProducers are attached at a time, and each is listed.
func TestManyProducers(t *testing.T) {
	h := newHost(t, "[]")
	created := h.good("ring", "create", "md", "--capacity", "64KiB", "--producers", "many", "--checksum", "--policy", "latest", "-o", "json").stdout
	var reply struct{ Ring client.Ring }
	decodeStrict(t, created, &reply)
	if reply.Ring.Producers != client.ProducersMany || !reply.Ring.Checksum || reply.Ring.Policy != client.PolicyLatest {
		t.Errorf("created %+v", reply.Ring)
	}
	stdin, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	one := h.start(stdin, &buffer{}, "attach", "md", "--as", "producer", "--name", "one")
	h.attached("one")
	h.publish("md", "two\n", "--name", "two")
	if _, err := feed.WriteString("one\n"); err != nil {
		t.Fatal(err)
	}
	if err := feed.Close(); err != nil {
		t.Fatal(err)
	}
	if code := one.wait(); code != exitDone {
		t.Errorf("exit code %d, %s", code, one.stderr.String())
	}
	_ = stdin.Close()
	if got := h.good("attach", "md", "--as", "consumer", "--policy", "block", "--from", "oldest", "--count", "2").stdout; got != "two\none\n" {
		t.Errorf("got %q", got)
	}
}
