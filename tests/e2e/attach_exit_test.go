package e2e

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestSignals end both sides cleanly; what was read is published and printed.
func TestSignals(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		p := newPlace(t, smallRing)
		p.Start()
		c := p.Dial()
		reader := p.Ctl("attach", "md", "--as", "consumer", "--from", "oldest", "-o", "json")
		cmd := p.Command("attach", "md", "--as", "producer", "-o", "json")
		input := pipeTo(t, cmd)
		producer := harness.Launch(t, cmd)
		if _, err := io.WriteString(input, "a\nb\nc\n"); err != nil {
			t.Fatal(err)
		}
		harness.Eventually(t, "the records", func() bool { return reader.Stdout.String() == "a\nb\nc\n" })
		producer.Signal(signal) // while it reads its input, which stays open
		producer.Expect(0)
		reader.Signal(signal)
		reader.Expect(0)
		for _, side := range []*harness.Process{producer, reader} {
			if s := summaryOf(side); s.Records != 3 || s.Bytes != 3 {
				t.Errorf("%v: summary %+v", signal, s)
			}
		}
		if reader.Stdout.String() != "a\nb\nc\n" {
			t.Errorf("%v: it printed %q", signal, reader.Stdout)
		}
		if list := harness.Attachments(t, c, ""); len(list) != 0 {
			t.Errorf("%v: not detached: %+v", signal, list)
		}
	}
}

// TestClosedOutput is `brokerctl attach ... | head -1`.
func TestClosedOutput(t *testing.T) {
	p := newPlace(t, smallRing)
	p.Start()
	c := p.Dial()
	p.Publish("md", "first\n")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := p.Command("attach", "md", "--as", "consumer", "--from", "oldest")
	cmd.Stdout = in
	reader := harness.Launch(t, cmd)
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("first\n"))
	if _, err := io.ReadFull(out, line); err != nil || string(line) != "first\n" {
		t.Fatalf("read %q, %v", line, err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	p.publishUntilEnded(reader, c, "for nobody")
}

// TestMissed ends with 5 for a reader that should have seen everything, and
// with 0 for one that need not.
func TestMissed(t *testing.T) {
	for policy, code := range map[string]int{"demote": 5, "skip": 0} {
		t.Run(policy, func(t *testing.T) {
			p := newPlace(t, "[{name: md, capacity: 64KiB, demote_after: 20ms}]")
			p.Start()
			c := p.Dial()
			reader := p.Ctl("attach", "md", "--as", "consumer", "--from", "oldest", "--policy", policy, "--until-end", "-o", "json")
			p.Publish("md", "first\n")
			harness.Eventually(t, "the first line", func() bool { return reader.Stdout.String() == "first\n" })
			reader.Stop()
			p.Publish("md", numberedLines(3000), "--end")
			reader.Resume()
			reader.Expect(code)
			s := summaryOf(reader)
			if s.Missed == 0 || s.Records+s.Missed != 3001 {
				t.Errorf("summary %+v: want 3001 records, some of them missed", s)
			}
			if r := harness.RingStats(t, c, "md"); (r.Demotions == 1) != (policy == "demote") {
				t.Errorf("%d demotions", r.Demotions)
			}
			if said := reader.Stderr.String(); code == 5 && (!strings.Contains(said, fmt.Sprintf("missed %d records", s.Missed)) || !strings.Contains(said, "demote_after")) {
				t.Errorf("it does not say why: %s", said)
			}
		})
	}
}

// TestExitCodes are those that no other test here is about.
func TestExitCodes(t *testing.T) {
	p := newPlace(t, smallRing)
	down := newPlace(t, "[]") // never started
	p.Start()
	for _, c := range []struct {
		place place
		args  []string
		code  int
		word  string
	}{
		{p, []string{"--help"}, 0, ""},
		{p, []string{"attach", "--help"}, 0, ""},
		{p, []string{"status"}, 0, ""},
		{p, []string{"version"}, 0, ""},
		{p, []string{"attach", "md"}, 2, "--as"},
		{p, []string{"attach", "md", "--as", "reader"}, 2, "producer"},
		{p, []string{"attach", "--as", "consumer"}, 2, "RING"},
		{p, []string{"attach", "md", "--as", "consumer", "--on-full", "drop"}, 2, "--on-full is for a producer"},
		{p, []string{"attach", "md", "--as", "producer", "--from", "oldest"}, 2, "--from is for a consumer"},
		{p, []string{"attach", "md", "--as", "consumer", "--count", "0"}, 2, "count"},
		{p, []string{"attach", "md", "--as", "consumer", "--framing", "csv"}, 2, "u32be"},
		{p, []string{"attach", "md", "--as", "consumer", "--colour"}, 2, "colour"},
		{p, []string{"atach", "md"}, 2, "attach"},
		{p, []string{"status", "-o", "yaml"}, 2, "json"},
		{down, []string{"attach", "md", "--as", "consumer"}, 3, down.Socket},
		{down, []string{"status"}, 3, "start brokerd"},
		{down, []string{"ring", "list"}, 3, down.Socket},
		{p, []string{"attach", "nosuch", "--as", "consumer"}, 4, "nosuch"},
		{p, []string{"attach", "../md", "--as", "consumer"}, 4, "../md"},
		{p, []string{"attach", strings.Repeat("n", 300), "--as", "consumer"}, 4, "300 bytes"},
		{p, []string{"attach", "md", "--as", "consumer", "--name", "no spaces"}, 4, "no spaces"},
		{p, []string{"ring", "create", "md"}, 4, "exists"},
		{p, []string{"ring", "create", "odd", "--capacity", "3MiB"}, 4, "capacity"},
		{p, []string{"ring", "rm", "nosuch"}, 4, "nosuch"},
		{p, []string{"ring", "show", "nosuch"}, 4, "nosuch"},
		{p, []string{"detach", "md/c0.1"}, 4, "md/c0.1"},
		{p, []string{"stats", "nosuch"}, 4, "nosuch"},
	} {
		run := c.place.Ctl(c.args...)
		run.Expect(c.code)
		said := run.Stderr.String()
		if !strings.Contains(said, c.word) {
			t.Errorf("%q does not name %q: %s", c.args, c.word, said)
		}
		if c.code != 0 && (!strings.HasPrefix(said, "brokerctl: ") || strings.Count(said, "\n") != 1) {
			t.Errorf("%q: want one line from brokerctl, got:\n%s", c.args, said)
		}
	}
}

// TestTakenAway ends attachments from outside: the ring is removed, or an
// administrator detaches them. Both processes are told, and fail.
func TestTakenAway(t *testing.T) {
	p := newPlace(t, "[]")
	p.Start()
	c := p.Dial()
	for word, take := range map[string]func(client.Attachment){
		"removed": func(client.Attachment) {
			p.Ctl("ring", "rm", "md").Expect(4)
			p.Output("ring", "rm", "md", "--force")
		},
		"ended by the daemon": func(a client.Attachment) { p.Output("detach", a.ID) },
	} {
		p.Output("ring", "create", "md", "--capacity", "64KiB")
		reader := p.Ctl("attach", "md", "--as", "consumer")
		a := harness.WaitAttached(t, c, "md", 1)[0]
		take(a)
		reader.Expect(1)
		if !strings.Contains(reader.Stderr.String(), word) {
			t.Errorf("the reader is not told %q: %s", word, reader.Stderr)
		}
		if word != "removed" {
			p.Output("ring", "rm", "md")
		}
	}
	// One producer at a time, until it is gone.
	p.Output("ring", "create", "md", "--capacity", "64KiB")
	cmd := p.Command("attach", "md", "--as", "producer")
	input := pipeTo(t, cmd)
	first := harness.Launch(t, cmd)
	harness.WaitAttached(t, c, "md", 1)
	second := p.Feed("x\n", "attach", "md", "--as", "producer")
	second.Expect(4)
	if !strings.Contains(second.Stderr.String(), fmt.Sprintf("pid %d", first.PID())) {
		t.Errorf("the refusal does not name the one producer: %s", second.Stderr)
	}
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	first.Expect(0)
	p.Publish("md", "x\n")
}
