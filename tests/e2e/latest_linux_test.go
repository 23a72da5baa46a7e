package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	latestAsks = 400
	// latestPause is between the asks of a slow reader. The producer publishes
	// thousands of records meanwhile.
	latestPause = 2 * time.Millisecond
)

// TestLatestGivesTheNewest asks while another process publishes as fast as it
// can, which notes the number of each record that it has published.
func TestLatestGivesTheNewest(t *testing.T) {
	for name, pause := range map[string]time.Duration{"asked now and then": latestPause, "asked all the time": 0} {
		t.Run(name, func(t *testing.T) { latestOf(t, pause) })
	}
}

func latestOf(t *testing.T, pause time.Duration) {
	p := newPlace(t, "[{name: md, capacity: 256KiB}]")
	p.Start()
	c := p.Dial()
	r, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{Policy: client.PolicyLatest})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.Root, "note")
	if err := os.WriteFile(path, make([]byte, 16), 0o600); err != nil {
		t.Fatal(err)
	}
	note, err := mapNote(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(note) }()
	producer := harness.Launch(t, p.Role("numbering", path, "1"))
	producer.WaitSaid(sayAttached)
	var passed []uint64
	for range latestAsks {
		time.Sleep(pause)
		published := binary.LittleEndian.Uint64(note[8:])
		record, err := r.Receive(harness.Bounded(t))
		if err != nil {
			t.Fatal(err)
		}
		number := binary.LittleEndian.Uint64(record.Payload[8:])
		if begun := binary.LittleEndian.Uint64(note); number < published || number > begun {
			t.Fatalf("asked after record %d was published, it was given %d; %d are begun", published, number, begun)
		}
		if record.Sequence != number-1 {
			t.Fatalf("record %d comes as the one after %d", number, record.Sequence)
		}
		if len(record.Payload) != numberBytes+int(number*number%900) {
			t.Fatalf("record %d has %d bytes", number, len(record.Payload))
		}
		passed = append(passed, record.Missed)
	}
	producer.Kill()
	harness.Eventually(t, "the producer's slot is free", func() bool { return len(harness.Attachments(t, c, "md")) == 1 })
	last := uint64(0)
	for err == nil {
		var record client.Record
		if record, err = r.TryReceive(); err == nil {
			last = binary.LittleEndian.Uint64(record.Payload[8:])
		}
	}
	s, ring := r.Stats(), harness.RingStats(t, c, "md")
	slices.Sort(passed)
	t.Logf("%d asks of %d records; passed over %d in the median, %d at most", latestAsks, ring.Sequence, passed[len(passed)/2], passed[len(passed)-1])
	if published := binary.LittleEndian.Uint64(note[8:]); !errors.Is(err, client.ErrEmpty) || last != 0 && last < published {
		t.Errorf("at last it was given record %d of %d, then %v", last, published, err)
	}
	if s.Delivered+s.MissedRecords+s.GapRecords != ring.Sequence || s.MissedRecords == 0 || s.Sequence != ring.Sequence {
		t.Errorf("the reader tells %+v, the ring holds %d records", s, ring.Sequence)
	}
	if ring.HeldNS != 0 || ring.Demotions != 0 || ring.OccupancyBytes != 0 {
		t.Errorf("a latest reader held the producer: %+v", ring)
	}
}

// TestLatestOfBrokerctl prints the newest line, and where it was asleep for more
// than the ring holds, the one that is newest then.
func TestLatestOfBrokerctl(t *testing.T) {
	p := newPlace(t, smallRing)
	p.Start()
	c := p.Dial()
	const records = 3000
	lines := numberedLines(records)
	newest := lines[len(lines)-100:]
	reader := p.Ctl("attach", "md", "--as", "consumer", "--policy", "latest", "--until-end", "-o", "json")
	harness.WaitAttached(t, c, "md", 1)
	p.publishUntil(func() bool { return reader.Stdout.String() != "" })
	before := harness.RingStats(t, c, "md").Sequence
	harness.Eventually(t, "it has read what there is", func() bool { return harness.Attachments(t, c, "md")[0].Sequence == before })
	woken := reader.Stdout.String()
	reader.Stop()
	p.Publish("md", lines, "--end")
	reader.Resume()
	reader.Expect(0)
	if got := reader.Stdout.String(); got != woken+newest {
		t.Errorf("after it slept it printed %d bytes that end in %q, want %q", len(got)-len(woken), got[max(0, len(got)-100):], newest)
	}
	s := fullSummaryOf(reader)
	if s.Missed < records-1 || s.Records != uint64(strings.Count(reader.Stdout.String(), "\n")) {
		t.Errorf("the reader tells %+v, want %d records missed", s, records-1)
	}
	late := p.Ctl("attach", "md", "--as", "consumer", "--policy", "latest", "--from", "oldest", "--until-end", "-o", "json")
	late.Expect(0)
	if late.Stdout.String() != newest || fullSummaryOf(late).Records != 1 {
		t.Errorf("a latest reader from the oldest record on printed %d bytes: %+v", len(late.Stdout.String()), fullSummaryOf(late))
	}
	if held := harness.RingStats(t, c, "md").HeldNS; held != 0 {
		t.Errorf("the producer was held for %d ns", held)
	}
	t.Logf("asleep for %d records: %d were passed over", records, s.Missed)
}

// publishUntil publishes short lines, one at a time, until done.
func (p place) publishUntil(done func() bool) {
	n := 0
	harness.Eventually(p.T, "a record arrives", func() bool {
		n++
		p.Publish("md", fmt.Sprintf("wake %d\n", n))
		return done()
	})
}
