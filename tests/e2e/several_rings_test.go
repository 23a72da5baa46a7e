package e2e

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const severalRings = "[{name: a, capacity: 64KiB}, {name: b.log, capacity: 64KiB}, {name: c, capacity: 64KiB}]"

// severalLines are what a ring of them gets: far more than it holds.
func severalLines(ring string, n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "%s %090d\n", ring, i)
	}
	return text.String()
}

// byRing takes the prefixes off and the lines of each ring together.
func byRing(t *testing.T, out string) map[string]string {
	t.Helper()
	rings := map[string]string{}
	for line := range strings.Lines(out) {
		ring, record, found := strings.Cut(line, "\t")
		if !found {
			t.Fatalf("no ring stands before %q", line)
		}
		rings[ring] += record
	}
	return rings
}

// TestSeveralRings reads three rings at once, each fed by a producer of its own.
func TestSeveralRings(t *testing.T) {
	for _, wait := range []string{"park", "auto", "yield", "spin"} {
		t.Run(wait, func(t *testing.T) {
			p := newPlace(t, severalRings)
			p.Start()
			c := p.Dial()
			rings := []string{"a", "b.log", "c"}
			reader := p.Ctl("attach", "a", "b.log", "c", "--as", "consumer", "--policy", "block", "--from", "oldest", "--until-end",
				"--wait-strategy", wait, "-o", "json")
			want := map[string]string{}
			var producers []*harness.Process
			for i, ring := range rings {
				harness.WaitAttached(t, c, ring, 1)
				p.Publish(ring, ring+" first\n")
				harness.Eventually(t, "the first record of "+ring, func() bool { return strings.Contains(reader.Stdout.String(), ring+"\t"+ring+" first\n") })
				want[ring] = severalLines(ring, 2000+500*i)
			}
			for _, ring := range rings {
				producers = append(producers, p.Feed(want[ring], "attach", ring, "--as", "producer", "--end"))
				want[ring] = ring + " first\n" + want[ring]
			}
			for _, producer := range producers {
				producer.Expect(0)
			}
			reader.Expect(0)
			if got := byRing(t, reader.Stdout.String()); !maps.Equal(got, want) {
				for ring := range got {
					t.Errorf("ring %s: %d bytes, want %d, or they differ", ring, len(got[ring]), len(want[ring]))
				}
			}
			sums := summariesOf(reader)
			if len(sums) != 3 {
				t.Fatalf("%d summaries, want 3:\n%s", len(sums), reader.Stderr)
			}
			for i, s := range sums {
				if s.Ring != rings[i] || s.Records != uint64(2001+500*i) || s.Missed != 0 {
					t.Errorf("summary %d: %+v", i, s)
				}
			}
		})
	}
}

// TestSeveralRingsFramed tells the ring by a frame of its own.
func TestSeveralRingsFramed(t *testing.T) {
	p := newPlace(t, severalRings)
	p.Start()
	p.Publish("a", "one\ntwo\n", "--end")
	p.Publish("c", "\n", "--end")
	for args, want := range map[string][]string{
		"--until-end": {u32be("a", "one", "a", "two", "c", ""), u32be("c", "", "a", "one", "a", "two")},
		"--count=3":   {u32be("a", "one", "a", "two", "c", ""), u32be("c", "", "a", "one", "a", "two")},
		"--count=1":   {u32be("a", "one"), u32be("c", "")},
	} {
		if got := p.Output("attach", "a", "c", "--as", "consumer", "--from", "oldest", "--framing", "u32be", args); !slices.Contains(want, got) {
			t.Errorf("%s: %q, want one of %q", args, got, want)
		}
	}
	for _, args := range [][]string{{"a", "a", "--as", "consumer"}, {"a", "c", "--as", "producer"}} {
		p.Ctl(append([]string{"attach"}, args...)...).Expect(2)
	}
	none := p.Ctl("attach", "a", "nosuch", "--as", "consumer")
	none.Expect(4)
	wantWords(t, "one ring too many", none.Stderr.String(), "brokerctl: ", "nosuch")
	if list := harness.Attachments(t, p.Dial(), ""); len(list) != 0 {
		t.Errorf("it stays attached to the others: %+v", list)
	}
}

// TestOneOfSeveralRingsIsRemoved ends brokerctl, which says which ring it was and
// has written all that came before, of every ring.
func TestOneOfSeveralRingsIsRemoved(t *testing.T) {
	p := newPlace(t, severalRings)
	p.Start()
	c := p.Dial()
	reader := p.Ctl("attach", "a", "b.log", "c", "--as", "consumer", "--from", "oldest", "-o", "json")
	want := map[string]string{}
	for _, ring := range []string{"a", "b.log", "c"} {
		harness.WaitAttached(t, c, ring, 1)
		want[ring] = severalLines(ring, 10)
		p.Publish(ring, want[ring])
	}
	harness.Eventually(t, "all records", func() bool { return strings.Count(reader.Stdout.String(), "\n") == 30 })
	was := p.epoch("b.log")
	p.Output("ring", "rm", "b.log", "--force")
	reader.Expect(1)
	wantWords(t, "the reader", reader.Stderr.String(), "brokerctl: ", "ring was removed", fmt.Sprintf("b.log of epoch %d", was))
	if got := byRing(t, reader.Stdout.String()); !maps.Equal(got, want) {
		t.Errorf("it printed %q, want %q", got, want)
	}
	sums := summariesOf(reader)
	if len(sums) != 3 || slices.ContainsFunc(sums, func(s fullSummary) bool { return s.Records != 10 || s.Missed != 0 }) {
		t.Errorf("summaries %+v, want 10 records of each ring", sums)
	}
	if list := harness.Attachments(t, c, ""); len(list) != 0 {
		t.Errorf("it stays attached: %+v", list)
	}
}

// TestPollerOutlivesARing removes one of three rings that a Poller waits for:
// that one says so, and the others go on.
func TestPollerOutlivesARing(t *testing.T) {
	for _, wait := range []client.WaitStrategy{client.WaitPark, client.WaitSpin} {
		t.Run(string(wait), func(t *testing.T) { pollerOutlives(t, wait) })
	}
}

func pollerOutlives(t *testing.T, wait client.WaitStrategy) {
	p := newPlace(t, severalRings)
	p.Start()
	c := p.Dial()
	poller := client.NewPoller(client.PollerOptions{WaitStrategy: wait})
	names := map[*client.Consumer]string{}
	for _, ring := range []string{"a", "b.log", "c"} {
		r, err := c.Consumer(harness.Bounded(t), ring, client.ConsumerOptions{WaitStrategy: wait, Policy: client.PolicyBlock})
		if err != nil {
			t.Fatal(err)
		}
		names[r] = ring
		if err := poller.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	got, ends, removed := map[string]string{}, 0, 0
	read := func(until func() bool) {
		t.Helper()
		for !until() {
			r, err := poller.Wait(harness.Bounded(t))
			if err != nil {
				t.Fatal(err)
			}
			record, err := r.TryReceive()
			var gone *client.RemovedError
			switch {
			case err == nil:
				got[names[r]] += string(record.Payload) + "\n"
			case errors.Is(err, client.ErrEmpty):
			case errors.Is(err, client.ErrEndOfStream):
				ends++
			case errors.As(err, &gone) && names[r] == "b.log" && gone.Ring == "b.log":
				removed++
				poller.Remove(r)
			default:
				t.Fatalf("ring %s: %v", names[r], err)
			}
		}
	}
	want := map[string]string{}
	for ring := range maps.Values(names) {
		want[ring] = severalLines(ring, 10)
		p.Publish(ring, want[ring])
	}
	read(func() bool { return maps.Equal(got, want) })
	p.Output("ring", "rm", "b.log", "--force")
	read(func() bool { return removed == 1 })
	var producers []*harness.Process
	for _, ring := range []string{"a", "c"} {
		more := severalLines(ring, 3000) // far more than the ring holds
		want[ring] += more
		producers = append(producers, p.Feed(more, "attach", ring, "--as", "producer", "--end"))
	}
	read(func() bool { return ends == 2 })
	for _, producer := range producers {
		producer.Expect(0)
	}
	if !maps.Equal(got, want) || poller.Len() != 2 {
		t.Errorf("%d, %d and %d bytes came, want %d, %d and %d, or they differ; %d rings are left",
			len(got["a"]), len(got["b.log"]), len(got["c"]), len(want["a"]), len(want["b.log"]), len(want["c"]), poller.Len())
	}
}

// TestSeveralRingsInterrupted ends well, with what was read.
func TestSeveralRingsInterrupted(t *testing.T) {
	p := newPlace(t, severalRings)
	p.Start()
	reader := p.Ctl("attach", "a", "c", "--as", "consumer", "--from", "oldest", "-o", "json")
	cmd := p.Command("attach", "c", "--as", "producer")
	input := pipeTo(t, cmd)
	harness.Launch(t, cmd)
	if _, err := io.WriteString(input, "one\n"); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the record", func() bool { return reader.Stdout.String() == "c\tone\n" })
	reader.Signal(os.Interrupt)
	reader.Expect(0)
	if sums := summariesOf(reader); len(sums) != 2 || sums[0].Records != 0 || sums[1].Records != 1 {
		t.Errorf("summaries %+v", sums)
	}
}
