package e2e

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

// epoch is that of the ring now.
func (p place) epoch(ring string) uint64 {
	p.T.Helper()
	var out client.RingDetails
	p.Object(&out, "ring", "show", ring)
	return out.Ring.Epoch
}

// TestEndOfStream is told to a reader, which waits for what comes next.
func TestEndOfStream(t *testing.T) {
	p := newPlace(t, smallRing)
	p.Start()
	reader := p.Ctl("attach", "md", "--as", "consumer", "--from", "oldest", "-o", "json")
	for n, lines := range []string{"a\nb\n", "c\n"} {
		p.Publish("md", lines, "--end")
		harness.Eventually(t, "the end is told", func() bool { return strings.Count(reader.Stderr.String(), "end of stream") == n+1 })
	}
	wantWords(t, "of the first end", reader.Stderr.String(), "brokerctl: md: end of stream", "record 2,", "waited for")
	// Records of 1 byte take 32 in the ring, the end record 32 as well.
	wantWords(t, "of the second end", reader.Stderr.String(), "record 3,", fmt.Sprintf("position %d;", 5*32))
	reader.Signal(os.Interrupt)
	reader.Expect(0)
	if reader.Stdout.String() != "a\nb\nc\n" {
		t.Errorf("it printed %q", reader.Stdout)
	}
}

// replacement is how a ring is taken away from those who use it.
type replacement struct {
	name string
	// replace leaves another ring md, or none, and returns its epoch, 0 for none.
	replace func(p place, d *harness.Daemon) uint64
}

func replacements() []replacement {
	create := func(p place) uint64 {
		p.Output("ring", "create", "md", "--capacity", "64KiB")
		return p.epoch("md")
	}
	return []replacement{
		{"made anew", func(p place, _ *harness.Daemon) uint64 {
			p.Output("ring", "rm", "md", "--force")
			return create(p)
		}},
		{"made anew twice", func(p place, _ *harness.Daemon) uint64 {
			for range 2 {
				p.Output("ring", "rm", "md", "--force")
				create(p)
			}
			return p.epoch("md")
		}},
		{"removed", func(p place, _ *harness.Daemon) uint64 {
			p.Output("ring", "rm", "md", "--force")
			return 0
		}},
		{"made anew, and the daemon restarted", func(p place, d *harness.Daemon) uint64 {
			p.Output("ring", "rm", "md", "--force")
			epoch := create(p)
			d.Kill()
			p.Start()
			return epoch
		}},
		{"removed, and the daemon restarted", func(p place, d *harness.Daemon) uint64 {
			p.Output("ring", "rm", "md", "--force")
			d.Kill()
			p.Start()
			return 0
		}},
	}
}

// wantEpochs expects an error line of brokerctl that names the old and the new
// epoch.
func wantEpochs(t *testing.T, r *harness.Process, was, is uint64) {
	t.Helper()
	words := []string{"brokerctl: ", "ring was removed", "md of epoch " + fmt.Sprint(was), "there is no ring of that name now"}
	if is != 0 {
		words = append(words[:3], fmt.Sprintf("made anew with epoch %d", is), "attach again")
	}
	wantWords(t, fmt.Sprint(r.Cmd.Args[3:]), r.Stderr.String(), words...)
}

// TestRingIsReplaced takes the ring away under a reader and a producer, both
// asleep meanwhile: each is told what became of it, and ends with 1.
func TestRingIsReplaced(t *testing.T) {
	for _, c := range replacements() {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, "[]")
			d := p.Start()
			p.Output("ring", "create", "md", "--capacity", "64KiB")
			was := p.epoch("md")
			reader := p.Ctl("attach", "md", "--as", "consumer", "--from", "oldest", "-o", "json")
			cmd := p.Command("attach", "md", "--as", "producer", "-o", "json")
			input := pipeTo(t, cmd)
			producer := harness.Launch(t, cmd)
			if _, err := io.WriteString(input, "one\n"); err != nil {
				t.Fatal(err)
			}
			harness.Eventually(t, "the first record", func() bool { return reader.Stdout.String() == "one\n" })
			reader.Stop()
			producer.Stop()
			is := c.replace(p, d)
			if _, err := io.WriteString(input, "two\n"); err != nil {
				t.Fatal(err)
			}
			for _, side := range []*harness.Process{reader, producer} {
				side.Resume()
				side.Expect(1)
				wantEpochs(t, side, was, is)
				if s := fullSummaryOf(side); s.Records != 1 || s.Missed != 0 || s.Gaps != 0 {
					t.Errorf("summary %+v, want 1 record", s)
				}
			}
			if s := fullSummaryOf(producer); s.Unpublished != 1 {
				t.Errorf("the producer tells %+v, want 1 record unpublished", s)
			}
			if is == 0 {
				return
			}
			p.Publish("md", "three\n", "--end") // nothing of the old one is in the new one
			if got := p.Output("attach", "md", "--as", "consumer", "--from", "oldest", "--until-end"); got != "three\n" {
				t.Errorf("the new ring holds %q", got)
			}
		})
	}
}

// TestRingIsReplacedWhileTheDaemonIsAway removes the ring's folder, as somebody
// who clears a tmpfs does, and lets the next daemon make it anew.
func TestRingIsReplacedWhileTheDaemonIsAway(t *testing.T) {
	p := newPlace(t, smallRing)
	d := p.Start()
	was := p.epoch("md")
	p.Publish("md", "one\n")
	reader := p.Ctl("attach", "md", "--as", "consumer", "--from", "oldest")
	harness.Eventually(t, "the reader reads", func() bool { return reader.Stdout.String() == "one\n" })
	d.Kill()
	if err := os.RemoveAll(p.Dir); err != nil {
		t.Fatal(err)
	}
	p.Start()
	is := p.epoch("md")
	if is == was {
		t.Fatalf("both rings have epoch %d", is)
	}
	reader.Expect(1)
	wantEpochs(t, reader, was, is)
}

// TestRingIsReplacedForTheAPI tells by RemovedError.
func TestRingIsReplacedForTheAPI(t *testing.T) {
	for _, c := range replacements() {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, "[]")
			d := p.Start()
			p.Output("ring", "create", "md", "--capacity", "64KiB")
			was := p.epoch("md")
			cl := p.Dial()
			r, err := cl.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{})
			if err != nil {
				t.Fatal(err)
			}
			producer, err := cl.Producer(harness.Bounded(t), "md", client.ProducerOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Epoch() != was || producer.Epoch() != was {
				t.Errorf("attached to epochs %d and %d, want %d", r.Epoch(), producer.Epoch(), was)
			}
			if err := producer.Send(harness.Bounded(t), []byte("one")); err != nil {
				t.Fatal(err)
			}
			is := c.replace(p, d)
			_, received := r.Receive(harness.Bounded(t)) // "one", which is in the ring that this process has mapped
			for n := 0; received == nil && n < 2; n++ {
				_, received = r.Receive(harness.Bounded(t))
			}
			for what, err := range map[string]error{"receive": received, "send": producer.Send(harness.Bounded(t), []byte("two"))} {
				var removed *client.RemovedError
				if !errors.As(err, &removed) || removed.Ring != "md" || removed.Epoch != was || removed.Current != is || !errors.Is(err, client.ErrRemoved) {
					t.Errorf("%s: %v; want a RemovedError of epochs %d and %d", what, err, was, is)
				}
			}
		})
	}
}
