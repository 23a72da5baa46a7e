package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brokerd/client"
	"brokerd/tests/internal/harness"
)

const (
	checksumRing = "[{name: md, capacity: 64KiB, checksum: true}]"
	// Of a ring with timestamps; docs/MEMORY_LAYOUT.md.
	recordsOff   = 0x5000
	bodyOff      = 24
	tagOff       = 12
	timestampOff = 16
)

// spoil flips one bit of the record with that payload, in the ring's file, at an
// offset from the record's begin. It returns the record's position.
func (p place) spoil(payload string, off int) int {
	t := p.T
	t.Helper()
	f, err := os.OpenFile(filepath.Join(p.Dir, "md", "data"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte(payload)) - bodyOff
	if at < recordsOff || bytes.Count(data, []byte(payload)) != 1 {
		t.Fatalf("the ring holds %q %d times", payload, bytes.Count(data, []byte(payload)))
	}
	if _, err := f.WriteAt([]byte{data[at+off] ^ 1}, int64(at+off)); err != nil {
		t.Fatal(err)
	}
	return at - recordsOff
}

// recordLines are lines that are found in a ring's file.
func recordLines(n int) (lines []string) {
	for i := range n {
		lines = append(lines, fmt.Sprintf("record-%03d", i))
	}
	return lines
}

func text(lines []string) string { return strings.Join(lines, "\n") + "\n" }

// TestSpoiledRecord changes a byte of one record of ten: its reader is told the
// position, is given the other nine, and ends with 1.
func TestSpoiledRecord(t *testing.T) {
	for _, c := range []struct {
		what, policy string
		off          int
	}{
		{"payload", "block", bodyOff + 3}, {"payload", "demote", bodyOff}, {"payload", "skip", bodyOff + 9},
		{"tag", "block", tagOff}, {"timestamp", "skip", timestampOff + 7}, {"checksum", "demote", bodyOff + 10},
	} {
		t.Run(c.what+" "+c.policy, func(t *testing.T) {
			p := newPlace(t, checksumRing)
			p.Start()
			lines := recordLines(10)
			p.Publish("md", text(lines), "--end")
			position := p.spoil(lines[4], c.off)
			r := p.Ctl("attach", "md", "--as", "consumer", "--from", "oldest", "--policy", c.policy, "--until-end", "-o", "json")
			r.Expect(1)
			said := r.Stderr.String()
			if want := text(append(lines[:4:4], lines[5:]...)); r.Stdout.String() != want {
				t.Errorf("it printed %q, want all but %q", r.Stdout, lines[4])
			}
			if s := fullSummaryOf(r); s.Records != 9 || s.Checksums != 1 || s.Missed != 0 || s.Gaps != 0 {
				t.Errorf("it tells %+v, want 9 records and 1 wrong checksum", s)
			}
			wantWords(t, "of the record", said, "brokerctl: md: ", "record 4", fmt.Sprintf("position %d:", position), "left out")
			wantWords(t, "at the end", said, "brokerctl: ", "ring md", "wrong checksum", "left out")
		})
	}
}

// TestSpoiledRecordsAreCounted has a reader stay: everybody who asks about it is
// told. Of many records a few are told one by one.
func TestSpoiledRecordsAreCounted(t *testing.T) {
	p := newPlace(t, checksumRing)
	d := p.Start()
	c := p.Dial()
	lines := recordLines(30)
	p.Publish("md", text(lines))
	for _, n := range []int{3, 4, 8, 11, 20, 21, 29} {
		p.spoil(lines[n], bodyOff+1)
	}
	reader := p.Ctl("attach", "md", "--as", "consumer", "--name", "risk", "--from", "oldest", "-o", "json")
	var list []client.Attachment
	harness.Eventually(t, "it has told of 7 wrong checksums", func() bool {
		list = harness.Attachments(t, c, "md")
		return len(list) == 1 && list[0].ChecksumErrors >= 7
	})
	if a := list[0]; a.ChecksumErrors != 7 || a.MissedRecords != 0 || a.Sequence != 30 {
		t.Errorf("%+v, want 7 wrong checksums of 30 records", a)
	}
	for _, verb := range []string{"attachments", "stats"} {
		wantWords(t, "brokerctl "+verb, p.Output(verb, "md"), "md/c0.1", "7 wrong checksums")
	}
	const series = "brokerd_attachment_checksum_errors_total{name=risk,ring=md,role=consumer,slot=0}"
	if got := d.Scrape()[series]; got != 7 {
		t.Errorf("%s: %v, want 7", series, got)
	}
	p.Publish("md", "good\n")
	harness.Eventually(t, "it reads on", func() bool { return strings.HasSuffix(reader.Stdout.String(), "\ngood\n") })
	reader.Signal(os.Interrupt)
	reader.Expect(1)
	if s := fullSummaryOf(reader); s.Records != 24 || s.Checksums != 7 {
		t.Errorf("it tells %+v, want 24 records and 7 wrong checksums", s)
	}
	if told := strings.Count(reader.Stderr.String(), "left out\n"); told != 5 {
		t.Errorf("%d records are told one by one, want 5:\n%s", told, reader.Stderr)
	}
}

// TestSpoiledRecordOfTheAPI is an error with the place, after which reading goes
// on, by every way to read.
func TestSpoiledRecordOfTheAPI(t *testing.T) {
	p := newPlace(t, checksumRing)
	p.Start()
	c := p.Dial()
	lines := recordLines(5)
	p.Publish("md", text(lines))
	position := p.spoil(lines[2], bodyOff)
	var got []string
	note := func(r client.Record) error { got = append(got, string(r.Payload)); return nil }
	for name, next := range map[string]func(r *client.Consumer) error{
		"Receive": func(r *client.Consumer) error {
			record, err := r.Receive(harness.Bounded(t))
			if err == nil {
				err = note(record)
			}
			return err
		},
		"TryReceive": func(r *client.Consumer) error {
			record, err := r.TryReceive()
			if err == nil {
				err = note(record)
			}
			return err
		},
		"Poll": func(r *client.Consumer) error {
			_, err := r.Poll(note, 1)
			return err
		},
	} {
		r, err := c.Consumer(harness.Bounded(t), "md", client.ConsumerOptions{From: client.FromOldest()})
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		var wrong []*client.ChecksumError
		for range lines {
			var checksum *client.ChecksumError
			switch err := next(r); {
			case errors.As(err, &checksum):
				wrong = append(wrong, checksum)
			case err != nil:
				t.Fatalf("%s: %v", name, err)
			}
		}
		if want := text(append(lines[:2:2], lines[3:]...)); text(got) != want {
			t.Errorf("%s gave %q, want all but %q", name, got, lines[2])
		}
		if len(wrong) != 1 || wrong[0].Position != uint64(position) || wrong[0].Sequence != 2 {
			t.Errorf("%s: wrong checksums %+v, want one, of record 2 at position %d", name, wrong, position)
		}
		if s := r.Stats(); s.ChecksumErrors != 1 || s.Delivered != 4 || s.Sequence != 5 {
			t.Errorf("%s: %+v", name, s)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
