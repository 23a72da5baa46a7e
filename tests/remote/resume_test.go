package remote_test

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// keptRing keeps cursors, and is small: who reads it holds it at once.
const keptRing = "[{name: orders, capacity: 64KiB, record_max: 1KiB, resume_for: 60s}]"

// TestReaderIsKilled and started again: it loses nothing, and what was on its way
// may come again.
func TestReaderIsKilled(t *testing.T) {
	const records = 5000
	s := newSite(t, false, keptRing)
	s.Start()
	near := s.Dial()
	var input strings.Builder
	for i := range records {
		fmt.Fprintln(&input, i)
	}
	resume := []string{"orders", "--as", "consumer", "--name", "risk", "--from", "resume", "--policy", "block", "--until-end"}
	r := readInto(t, s.remote(s.address, resume...))
	harness.WaitAttached(t, near, "orders", 1)
	p := s.launch(input.String(), s.address, "orders", "--as", "producer", "--end")
	var got []string
	for kills := 0; kills < 3; kills++ {
		harness.Eventually(t, "some records", func() bool { return strings.Count(content(t, r.file), "\n") > 200 })
		r.Kill()
		got = append(got, content(t, r.file))
		r = readInto(t, s.remote(s.address, resume...))
	}
	p.Expect(0)
	r.Expect(0)
	got = append(got, content(t, r.file))
	next := 0
	for i, text := range got {
		lines := strings.Split(text, "\n")
		for k, line := range lines[:len(lines)-1] { // a killed one may be cut off, and comes again
			var n int
			if _, err := fmt.Sscan(line, &n); err != nil {
				t.Fatalf("run %d: %q", i, line)
			}
			if k == 0 && n <= next {
				next = n
			}
			if n != next {
				t.Fatalf("run %d, line %d is %d, want %d", i, k, n, next)
			}
			next++
		}
	}
	if next != records {
		t.Errorf("%d records, want %d", next, records)
	}
}

func content(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCursorHoldsThroughCuts: the ring is full all the time and the connection is
// cut again and again; the cursor of a named block reader holds what it has not
// got, so nothing is missed.
func TestCursorHoldsThroughCuts(t *testing.T) {
	const records = 20_000
	s := newSite(t, false, keptRing)
	s.Start()
	near := s.Dial()
	through := newProxy(t, s.address)
	remote := s.dial(t, through.address)
	ctx := harness.Bounded(t)
	r, err := remote.Consumer(ctx, "orders", client.ConsumerOptions{Name: "risk", From: client.FromOldest(), Policy: client.PolicyBlock})
	if err != nil {
		t.Fatal(err)
	}
	p, err := near.Producer(ctx, "orders", client.ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < records && err == nil; i++ {
			err = p.Send(ctx, fmt.Appendf(nil, "%d", i))
		}
		sent <- err
	}()
	stop := through.resetEvery(50 * time.Millisecond)
	for i := range records {
		record, err := r.Receive(ctx)
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if string(record.Payload) != fmt.Sprint(i) || record.Missed != 0 {
			t.Fatalf("record %d is %q, missed %d", i, record.Payload, record.Missed)
		}
		if i%(records/40) == 0 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if n := stop(); n < 3 {
		t.Errorf("%d connections were cut, that is too easy", n)
	}
}

// TestMissedIsTold: an unnamed reader that was away too long learns how much it
// missed, and brokerctl makes an exit code of it.
func TestMissedIsTold(t *testing.T) {
	const records = 10_000
	s := newSite(t, false, "[{name: md, capacity: 64KiB, record_max: 1KiB}]")
	s.Start()
	through := newProxy(t, s.address)
	r := readInto(t, s.remote(through.address, "md", "--as", "consumer", "--from", "oldest", "--policy", "block", "--until-end"))
	harness.WaitAttached(t, s.Dial(), "md", 1)
	cmd := s.Command("attach", "md", "--as", "producer", "--end")
	w, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := harness.Launch(t, cmd)
	if _, err := io.WriteString(w, "first\n"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the first record", func() bool { return content(t, r.file) != "" })
	through.reset()
	for i := range records {
		if _, err := fmt.Fprintln(w, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p.Expect(0)
	code := r.Wait()
	lines := strings.Count(content(t, r.file), "\n")
	missed := 0
	if _, after, ok := strings.Cut(r.Stderr.String(), "missed "); ok {
		fmt.Sscan(after, &missed)
	}
	if lines+missed != records+1 {
		t.Errorf("%d lines and %d missed, want %d together: %s", lines, missed, records+1, r.Stderr)
	}
	if want := map[bool]int{true: 5, false: 0}[missed > 0]; code != want {
		t.Errorf("exit code %d with %d missed: %s", code, missed, r.Stderr)
	}
	t.Logf("%d of %d records were missed", missed, records)
}
