package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// TestFrom starts at each kind of position. Records of 8 bytes take 32 in the
// ring: 16 of header, 8 of time stamp, 8 of payload.
func TestFrom(t *testing.T) {
	p := newPlace(t, smallRing)
	p.Start()
	p.Publish("md", "record-0\nrecord-1\nrecord-2\n", "--end")
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
		r := p.Ctl("attach", "md", "--as", "consumer", "--from="+c.from, "--until-end")
		r.Expect(c.code)
		if r.Stdout.String() != c.out || !strings.Contains(r.Stderr.String(), c.word) {
			t.Errorf("--from %s: printed %q, said %q; want %q and %q", c.from, r.Stdout, r.Stderr, c.out, c.word)
		}
	}
	// latest, the default: what comes from now on. On a ring that was empty, too.
	c := p.Dial()
	for _, args := range [][]string{{}, {"--from", "latest"}} {
		r := p.Ctl(append([]string{"attach", "md", "--as", "consumer", "--count", "1"}, args...)...)
		p.publishUntilEnded(r, c, "new")
		if got := r.Stdout.String(); !strings.HasPrefix(got, "new ") || strings.Count(got, "\n") != 1 {
			t.Errorf("%q printed %q, want a new record", args, got)
		}
	}
}

// publishUntilEnded publishes numbered records, the first once r is attached,
// until r has ended, which must be a good end.
func (p place) publishUntilEnded(r *harness.Process, c *client.Client, text string) {
	p.T.Helper()
	harness.WaitAttached(p.T, c, "md", 1)
	producer, err := c.Producer(harness.Bounded(p.T), "md", client.ProducerOptions{})
	if err != nil {
		p.T.Fatal(err)
	}
	n := 0
	harness.Eventually(p.T, "the reader ends", func() bool {
		n++
		if err := producer.Send(harness.Bounded(p.T), []byte(fmt.Sprint(text, " ", n))); err != nil {
			p.T.Fatal(err)
		}
		return !r.Running()
	})
	r.Expect(0)
	if err := producer.Close(); err != nil {
		p.T.Fatal(err)
	}
}

// TestEmptyRing attaches to a ring that never had a record, and waits.
func TestEmptyRing(t *testing.T) {
	p := newPlace(t, smallRing)
	p.Start()
	c := p.Dial()
	for _, from := range []string{"latest", "oldest", "0"} {
		r := p.Ctl("attach", "md", "--as", "consumer", "--from", from)
		harness.WaitAttached(t, c, "md", 1)
		r.Signal(os.Interrupt)
		r.Expect(0)
		if r.Stdout.String() != "" {
			t.Errorf("--from %s: printed %q", from, r.Stdout)
		}
	}
}

// TestCount counts records that are delivered, on both sides.
func TestCount(t *testing.T) {
	p := newPlace(t, smallRing)
	p.Start()
	p.Publish("md", "1\n2\n3\n4\n5\n", "--count", "4")
	p.Publish("md", "six\n", "--end")
	if got := p.Output("attach", "md", "--as", "consumer", "--from", "oldest", "--count", "2"); got != "1\n2\n" {
		t.Errorf("--count 2: %q", got)
	}
	if got := p.Output("attach", "md", "--as", "consumer", "--from", "oldest", "--count", "6", "--until-end"); got != "1\n2\n3\n4\nsix\n" {
		t.Errorf("all: %q", got)
	}
}

// TestEnd reads across an end record, and up to one.
func TestEnd(t *testing.T) {
	p := newPlace(t, smallRing)
	p.Start()
	p.Publish("md", "a\n", "--end")
	p.Publish("md", "b\n") // no end record
	p.Publish("md", "c\n", "--end")
	for want, args := range map[string][]string{
		"a\n":       {"--until-end"},
		"a\nb\nc\n": {"--count", "3"},
	} {
		if got := p.Output(append([]string{"attach", "md", "--as", "consumer", "--from", "oldest"}, args...)...); got != want {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
}

// TestWaitFor waits for the ring and for the daemon, for as long as it may.
func TestWaitFor(t *testing.T) {
	p := newPlace(t, "[]")
	early := p.Ctl("attach", "md", "--as", "consumer", "--count", "1", "--wait-for", "20s", "--from", "oldest")
	begin := time.Now()
	p.Ctl("attach", "md", "--as", "consumer", "--wait-for", "300ms").Expect(3)
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("it waited %v for the daemon, want 300ms", took)
	}
	p.Start()
	begin = time.Now()
	late := p.Ctl("attach", "md", "--as", "producer", "--wait-for", "300ms")
	late.Expect(4)
	if took := time.Since(begin); took < 300*time.Millisecond || !strings.Contains(late.Stderr.String(), "no ring md") {
		t.Errorf("it waited %v for the ring, want 300ms, and said %q", took, late.Stderr)
	}
	if !early.Running() {
		t.Fatalf("it did not wait: %s", early.Stderr)
	}
	p.Output("ring", "create", "md", "--capacity", "64KiB")
	p.Publish("md", "worth it\n")
	early.Expect(0)
	if got := early.Stdout.String(); got != "worth it\n" {
		t.Errorf("it printed %q", got)
	}
}

// TestOnFull has a producer meet a reader that does not read.
func TestOnFull(t *testing.T) {
	lines := numberedLines(3000) // more than the ring holds
	ring := "[{name: md, capacity: 64KiB}]"
	hold := func(t *testing.T) (place, *client.Client, *client.Consumer) {
		p := newPlace(t, ring)
		p.Start()
		c := p.Dial()
		r, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{Policy: client.PolicyBlock})
		if err != nil {
			t.Fatal(err)
		}
		return p, c, r
	}
	held := func(t *testing.T, c *client.Client) {
		harness.Eventually(t, "the producer is held", func() bool { return harness.RingStats(t, c, "md").HeldNS > uint64(20*time.Millisecond) })
	}
	t.Run("drop", func(t *testing.T) {
		p, c, _ := hold(t)
		producer := p.Feed(lines, "attach", "md", "--as", "producer", "--on-full", "drop", "-o", "json")
		producer.Expect(0)
		s := summaryOf(producer)
		if s.Dropped == 0 || s.Records == 0 || s.Records+s.Dropped != 3000 {
			t.Errorf("summary %+v: want 3000 records, some dropped", s)
		}
		if r := harness.RingStats(t, c, "md"); r.DroppedRecords != s.Dropped || r.Sequence != s.Records {
			t.Errorf("the ring tells %+v, the producer %+v", r, s)
		}
	})
	t.Run("fail", func(t *testing.T) {
		p, c, _ := hold(t)
		producer := p.Feed(lines, "attach", "md", "--as", "producer", "--on-full", "fail", "-o", "json")
		producer.Expect(1)
		if s := summaryOf(producer); s.Records == 0 || s.Records != harness.RingStats(t, c, "md").Sequence || s.Unpublished == 0 {
			t.Errorf("summary %+v", s)
		}
		if !strings.Contains(producer.Stderr.String(), "full") {
			t.Errorf("it does not say why: %s", producer.Stderr)
		}
	})
	t.Run("block", func(t *testing.T) {
		p, c, r := hold(t)
		producer := p.Feed(lines, "attach", "md", "--as", "producer", "-o", "json")
		held(t, c)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		producer.Expect(0)
		if s := summaryOf(producer); s.Records != 3000 || s.Dropped != 0 {
			t.Errorf("summary %+v", s)
		}
	})
	t.Run("block, interrupted", func(t *testing.T) {
		p, c, _ := hold(t)
		producer := p.Feed(lines, "attach", "md", "--as", "producer", "-o", "json")
		held(t, c)
		begin := time.Now()
		producer.Signal(os.Interrupt)
		producer.Expect(1)
		s := summaryOf(producer)
		if s.Unpublished == 0 || s.Records != harness.RingStats(t, c, "md").Sequence {
			t.Errorf("summary %+v: want to be told what was not published", s)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("it took %v to give up, 2s are promised", took)
		}
	})
}
