package e2e

import (
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"brokerd/client"
)

// TestFrom starts at each kind of position. Records of 8 bytes take 32 in the
// ring: 16 of header, 8 of time stamp, 8 of payload.
func TestFrom(t *testing.T) {
	p := newPlace(t, smallRing)
	p.start()
	p.publish("md", "record-0\nrecord-1\nrecord-2\n", "--end")
	for _, c := range []struct {
		from string
		code int
		out  string
		word string
	}{
		{"oldest", 0, "record-0\nrecord-1\nrecord-2\n", ""},
		{"0", 0, "record-0\nrecord-1\nrecord-2\n", ""},
		{"64", 0, "record-2\n", ""},
		{"96", 0, "", ""}, // the end record
		{"33", 4, "", "33"},
		{"1048576", 4, "", "1048576"},
		{"newest", 2, "", "oldest, latest or a position"},
		{"-1", 2, "", "oldest, latest or a position"},
	} {
		r := p.ctl("attach", "md", "--as", "consumer", "--from="+c.from, "--until-end")
		r.expect(c.code)
		if r.stdout.String() != c.out || !strings.Contains(r.stderr.String(), c.word) {
			t.Errorf("--from %s: printed %q, said %q; want %q and %q", c.from, r.stdout, r.stderr, c.out, c.word)
		}
	}
	// latest, the default: what comes from now on. On a ring that was empty, too.
	c := p.dial()
	for _, args := range [][]string{{}, {"--from", "latest"}} {
		r := p.ctl(append([]string{"attach", "md", "--as", "consumer", "--count", "1"}, args...)...)
		p.publishUntilEnded(r, c, "new")
		if got := r.stdout.String(); !strings.HasPrefix(got, "new ") || strings.Count(got, "\n") != 1 {
			t.Errorf("%q printed %q, want a new record", args, got)
		}
	}
}

// publishUntilEnded publishes numbered records, the first once r is attached,
// until r has ended, which must be a good end.
func (p place) publishUntilEnded(r *process, c *client.Client, text string) {
	p.t.Helper()
	waitAttached(p.t, c, "md", 1)
	producer, err := c.Producer(bounded(p.t), "md", client.ProducerOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	n := 0
	eventually(p.t, "the reader ends", func() bool {
		n++
		if err := producer.Send(bounded(p.t), []byte(fmt.Sprint(text, " ", n))); err != nil {
			p.t.Fatal(err)
		}
		return !r.running()
	})
	r.expect(0)
	if err := producer.Close(); err != nil {
		p.t.Fatal(err)
	}
}

// TestEmptyRing attaches to a ring that never had a record, and waits.
func TestEmptyRing(t *testing.T) {
	p := newPlace(t, smallRing)
	p.start()
	c := p.dial()
	for _, from := range []string{"latest", "oldest", "0"} {
		r := p.ctl("attach", "md", "--as", "consumer", "--from", from)
		waitAttached(t, c, "md", 1)
		r.signal(os.Interrupt)
		r.expect(0)
		if r.stdout.String() != "" {
			t.Errorf("--from %s: printed %q", from, r.stdout)
		}
	}
}

// TestCount counts records that are delivered, on both sides.
func TestCount(t *testing.T) {
	p := newPlace(t, smallRing)
	p.start()
	p.publish("md", "1\n2\n3\n4\n5\n", "--count", "4")
	p.publish("md", "six\n", "--end")
	if got := p.output("attach", "md", "--as", "consumer", "--from", "oldest", "--count", "2"); got != "1\n2\n" {
		t.Errorf("--count 2: %q", got)
	}
	if got := p.output("attach", "md", "--as", "consumer", "--from", "oldest", "--count", "6", "--until-end"); got != "1\n2\n3\n4\nsix\n" {
		t.Errorf("all: %q", got)
	}
}

// TestEnd reads across an end record, and up to one.
func TestEnd(t *testing.T) {
	p := newPlace(t, smallRing)
	p.start()
	p.publish("md", "a\n", "--end")
	p.publish("md", "b\n") // no end record
	p.publish("md", "c\n", "--end")
	for want, args := range map[string][]string{
		"a\n":       {"--until-end"},
		"a\nb\nc\n": {"--count", "3"},
	} {
		if got := p.output(append([]string{"attach", "md", "--as", "consumer", "--from", "oldest"}, args...)...); got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
}

// TestWaitFor waits for the ring and for the daemon, for as long as it may.
func TestWaitFor(t *testing.T) {
	p := newPlace(t, "[]")
	early := p.ctl("attach", "md", "--as", "consumer", "--count", "1", "--wait-for", "20s", "--from", "oldest")
	begin := time.Now()
	p.ctl("attach", "md", "--as", "consumer", "--wait-for", "300ms").expect(3)
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("it waited %v for the daemon, want 300ms", took)
	}
	p.start()
	begin = time.Now()
	late := p.ctl("attach", "md", "--as", "producer", "--wait-for", "300ms")
	late.expect(4)
	if took := time.Since(begin); took < 300*time.Millisecond || !strings.Contains(late.stderr.String(), "no ring md") {
		t.Errorf("it waited %v for the ring, want 300ms, and said %q", took, late.stderr)
	}
	if !early.running() {
		t.Fatalf("it did not wait: %s", early.stderr)
	}
	p.output("ring", "create", "md", "--capacity", "64KiB")
	p.publish("md", "worth it\n")
	early.expect(0)
	if got := early.stdout.String(); got != "worth it\n" {
		t.Errorf("it printed %q", got)
	}
}

// TestOnFull has a producer meet a reader that does not read.
func TestOnFull(t *testing.T) {
	lines := numberedLines(3000) // more than the ring holds
	ring := "[{name: md, capacity: 64KiB}]"
	hold := func(t *testing.T) (place, *client.Client, *client.Consumer) {
		p := newPlace(t, ring)
		p.start()
		c := p.dial()
		r, err := c.Consumer(bounded(t), "md", client.ConsumerOptions{Policy: client.PolicyBlock})
		if err != nil {
			t.Fatal(err)
		}
		return p, c, r
	}
	held := func(t *testing.T, c *client.Client) {
		eventually(t, "the producer is held", func() bool { return ringStats(t, c, "md").HeldNS > uint64(20*time.Millisecond) })
	}
	t.Run("drop", func(t *testing.T) {
		p, c, _ := hold(t)
		producer := p.feed(lines, "attach", "md", "--as", "producer", "--on-full", "drop", "-o", "json")
		producer.expect(0)
		s := summaryOf(producer)
		if s.Dropped == 0 || s.Records == 0 || s.Records+s.Dropped != 3000 {
			t.Errorf("summary %+v: want 3000 records, some dropped", s)
		}
		if r := ringStats(t, c, "md"); r.DroppedRecords != s.Dropped || r.Sequence != s.Records {
			t.Errorf("the ring tells %+v, the producer %+v", r, s)
		}
	})
	t.Run("fail", func(t *testing.T) {
		p, c, _ := hold(t)
		producer := p.feed(lines, "attach", "md", "--as", "producer", "--on-full", "fail", "-o", "json")
		producer.expect(1)
		if s := summaryOf(producer); s.Records == 0 || s.Records != ringStats(t, c, "md").Sequence || s.Unpublished == 0 {
			t.Errorf("summary %+v", s)
		}
		if !strings.Contains(producer.stderr.String(), "full") {
			t.Errorf("it does not say why: %s", producer.stderr)
		}
	})
	t.Run("block", func(t *testing.T) {
		p, c, r := hold(t)
		producer := p.feed(lines, "attach", "md", "--as", "producer", "-o", "json")
		held(t, c)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		producer.expect(0)
		if s := summaryOf(producer); s.Records != 3000 || s.Dropped != 0 {
			t.Errorf("summary %+v", s)
		}
	})
	t.Run("block, interrupted", func(t *testing.T) {
		p, c, _ := hold(t)
		producer := p.feed(lines, "attach", "md", "--as", "producer", "-o", "json")
		held(t, c)
		begin := time.Now()
		producer.signal(os.Interrupt)
		producer.expect(1)
		s := summaryOf(producer)
		if s.Unpublished == 0 || s.Records != ringStats(t, c, "md").Sequence {
			t.Errorf("summary %+v: want to be told what was not published", s)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("it took %v to give up, 2s are promised", took)
		}
	})
}

// TestSignals end both sides cleanly; what was read is published and printed.
func TestSignals(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		p := newPlace(t, smallRing)
		p.start()
		c := p.dial()
		reader := p.ctl("attach", "md", "--as", "consumer", "--from", "oldest", "-o", "json")
		cmd := p.command("attach", "md", "--as", "producer", "-o", "json")
		input := pipeTo(t, cmd)
		producer := launch(t, cmd)
		if _, err := io.WriteString(input, "a\nb\nc\n"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the records", func() bool { return reader.stdout.String() == "a\nb\nc\n" })
		producer.signal(signal) // while it reads its input, which stays open
		producer.expect(0)
		reader.signal(signal)
		reader.expect(0)
		for _, side := range []*process{producer, reader} {
			if s := summaryOf(side); s.Records != 3 || s.Bytes != 3 {
				t.Errorf("%v: summary %+v", signal, s)
			}
		}
		if reader.stdout.String() != "a\nb\nc\n" {
			t.Errorf("%v: it printed %q", signal, reader.stdout)
		}
		if list := attachments(t, c, ""); len(list) != 0 {
			t.Errorf("%v: not detached: %+v", signal, list)
		}
	}
}

// TestClosedOutput is `brokerctl attach ... | head -1`.
func TestClosedOutput(t *testing.T) {
	p := newPlace(t, smallRing)
	p.start()
	c := p.dial()
	p.publish("md", "first\n")
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := p.command("attach", "md", "--as", "consumer", "--from", "oldest")
	cmd.Stdout = in
	reader := launch(t, cmd)
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
			p.start()
			c := p.dial()
			reader := p.ctl("attach", "md", "--as", "consumer", "--from", "oldest", "--policy", policy, "--until-end", "-o", "json")
			p.publish("md", "first\n")
			eventually(t, "the first line", func() bool { return reader.stdout.String() == "first\n" })
			reader.stop()
			p.publish("md", numberedLines(3000), "--end")
			reader.resume()
			reader.expect(code)
			s := summaryOf(reader)
			if s.Missed == 0 || s.Records+s.Missed != 3001 {
				t.Errorf("summary %+v: want 3001 records, some of them missed", s)
			}
			if r := ringStats(t, c, "md"); (r.Demotions == 1) != (policy == "demote") {
				t.Errorf("%d demotions", r.Demotions)
			}
			if said := reader.stderr.String(); code == 5 && (!strings.Contains(said, fmt.Sprintf("missed %d records", s.Missed)) || !strings.Contains(said, "demote_after")) {
				t.Errorf("it does not say why: %s", said)
			}
		})
	}
}

// TestExitCodes are those that no other test here is about.
func TestExitCodes(t *testing.T) {
	p := newPlace(t, smallRing)
	down := newPlace(t, "[]") // never started
	p.start()
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
		{down, []string{"attach", "md", "--as", "consumer"}, 3, down.socket},
		{down, []string{"status"}, 3, "start brokerd"},
		{down, []string{"ring", "list"}, 3, down.socket},
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
		run := c.place.ctl(c.args...)
		run.expect(c.code)
		said := run.stderr.String()
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
	p.start()
	c := p.dial()
	for word, take := range map[string]func(client.Attachment){
		"removed": func(client.Attachment) {
			p.ctl("ring", "rm", "md").expect(4)
			p.output("ring", "rm", "md", "--force")
		},
		"ended by the daemon": func(a client.Attachment) { p.output("detach", a.ID) },
	} {
		p.output("ring", "create", "md", "--capacity", "64KiB")
		reader := p.ctl("attach", "md", "--as", "consumer")
		a := waitAttached(t, c, "md", 1)[0]
		take(a)
		reader.expect(1)
		if !strings.Contains(reader.stderr.String(), word) {
			t.Errorf("the reader is not told %q: %s", word, reader.stderr)
		}
		if word != "removed" {
			p.output("ring", "rm", "md")
		}
	}
	// One producer at a time, until it is gone.
	p.output("ring", "create", "md", "--capacity", "64KiB")
	cmd := p.command("attach", "md", "--as", "producer")
	input := pipeTo(t, cmd)
	first := launch(t, cmd)
	waitAttached(t, c, "md", 1)
	second := p.feed("x\n", "attach", "md", "--as", "producer")
	second.expect(4)
	if !strings.Contains(second.stderr.String(), fmt.Sprintf("pid %d", first.pid())) {
		t.Errorf("the refusal does not name the one producer: %s", second.stderr)
	}
	if err := input.Close(); err != nil {
		t.Fatal(err)
	}
	first.expect(0)
	p.publish("md", "x\n")
}
