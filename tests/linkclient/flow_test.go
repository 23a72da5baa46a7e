package linkclient

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"brokerd/tests/internal/harness"
)

// flowRecords go round a ring of ringBytes several times.
const flowRecords = 2000

// received takes what the Python client has printed apart, and wants every record
// of want once and in order, or told as lost. It returns how many were lost.
func received(t testing.TB, text string, want []string) (lost int) {
	t.Helper()
	first, next := -1, 0
	for line := range strings.Lines(text) {
		var sequence, n int
		var payload string
		isLost := false
		if count, _ := fmt.Sscanf(line, "lost %d %d", &sequence, &n); count == 2 {
			isLost = true
		} else if count, _ := fmt.Sscan(line, &sequence, &n, &payload); count != 3 {
			continue // attached, end, image
		}
		if first < 0 {
			first = sequence // of the ring, which may have had records before
		}
		if sequence != first+next {
			t.Fatalf("%q: sequence number %d, want %d", line, sequence, first+next)
		}
		if isLost {
			t.Log(strings.TrimSpace(line))
			next, lost = next+n, lost+n
			continue
		}
		got, err := hex.DecodeString(payload)
		if err != nil || next >= len(want) || string(got) != want[next] || n != 0 {
			t.Fatalf("record %d: %q, tag %d, %v", next, got, n, err)
		}
		next++
	}
	if next != len(want) {
		t.Fatalf("%d records, want %d", next, len(want))
	}
	return lost
}

// TestRead reads a ring many times its size with policy block, over one
// connection and over many that are cut. Ring md forgets a reader that is away,
// so that it is told what it lost; ring kept holds for its cursor.
func TestRead(t *testing.T) {
	bothWays(t, func(t *testing.T, s stage) {
		for _, tt := range []struct {
			ring, every string
			mayLose     bool
		}{{"md", "0", false}, {"md", "40", true}, {"kept", "40", false}} {
			want := s.lines(flowRecords)
			reader := harness.Launch(t, s.python("read", "--ring", tt.ring, "--policy", "block", "--from", "latest", "--label", "book",
				"--count", fmt.Sprint(flowRecords), "--cut-every", tt.every))
			reader.WaitSaid("attached\n")
			s.Publish(tt.ring, strings.Join(want, "\n")+"\n")
			reader.Expect(0)
			lost := received(t, reader.Stdout.String(), want)
			if lost > 0 && !tt.mayLose {
				t.Errorf("%d records of ring %s were lost", lost, tt.ring)
			}
			t.Logf("ring %s, cut every %s records: %d of %d lost", tt.ring, tt.every, lost, flowRecords)
		}
	})
}

// TestMirror has the client build the memory of a mirror, and compares it with
// that of the ring.
func TestMirror(t *testing.T) {
	bothWays(t, func(t *testing.T, s stage) {
		image := filepath.Join(s.Root, "image")
		mirror := harness.Launch(t, s.python("mirror", "--ring", "md", "--policy", "block", "--from", "held", "--image", image,
			"--count", fmt.Sprint(flowRecords), "--cut-every", "100"))
		mirror.WaitSaid("attached\n")
		want := s.lines(flowRecords)
		s.Publish("md", strings.Join(want, "\n")+"\n")
		mirror.Expect(0)
		if lost := received(t, mirror.Stdout.String(), want); lost > 0 {
			t.Errorf("%d records lost, although the link of a peer is waited for", lost)
		}

		var first, end uint64
		last := mirror.Stdout.String()
		last = last[strings.Index(last, "image "):]
		if _, err := fmt.Sscanf(last, "image %d %d", &first, &end); err != nil {
			t.Fatalf("%q: %v", last, err)
		}
		copied, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		const dataOff = 0x5000 // docs/MEMORY_LAYOUT.md
		memory, err := os.ReadFile(filepath.Join(s.Dir, "md", "data"))
		if err != nil {
			t.Fatal(err)
		}
		memory = memory[dataOff:]
		written := harness.RingStats(t, s.Dial(), "md").Position
		compared := 0
		for at := max(first, written-ringBytes); at < end; at += 16 {
			i := at % ringBytes
			if !bytes.Equal(copied[i:i+16], memory[i:i+16]) {
				t.Fatalf("position %d of %d is % x, the ring has % x", at, end, copied[i:i+16], memory[i:i+16])
			}
			compared += 16
		}
		if compared < ringBytes/2 || len(copied) != ringBytes {
			t.Errorf("%d bytes compared of an image of %d", compared, len(copied))
		}
	})
}

// TestProduce publishes over one connection and over many that are cut in the
// middle of frames: every record is there, once, in order.
func TestProduce(t *testing.T) {
	bothWays(t, func(t *testing.T, s stage) {
		for _, tt := range []struct{ ring, every string }{{"orders", "0"}, {"orders", "25"}, {"shared", "25"}} {
			want := s.lines(flowRecords)
			reader := s.Ctl("attach", tt.ring, "--as", "consumer", "--policy", "block", "--from", "latest", "--count", fmt.Sprint(flowRecords))
			harness.WaitAttached(t, s.Dial(), tt.ring, 1)
			cmd := s.python("produce", "--ring", tt.ring, "--label", "algo", "--cut-every", tt.every)
			cmd.Stdin = strings.NewReader(strings.Join(want, "\n") + "\n")
			producer := harness.Launch(t, cmd)
			producer.Expect(0)
			if said := producer.Stdout.String(); said != fmt.Sprintf("attached\npublished %d\n", flowRecords) {
				t.Errorf("the producer said %q", said)
			}
			reader.Expect(0)
			if got := reader.Stdout.String(); got != strings.Join(want, "\n")+"\n" {
				t.Errorf("ring %s has other records than were published: %d lines, want %d", tt.ring, strings.Count(got, "\n"), len(want))
			}
			harness.WaitAttached(t, s.Dial(), tt.ring, 0)
			if at := harness.RingStats(t, s.Dial(), tt.ring).Sequence; at%flowRecords != 0 {
				t.Errorf("%d records in ring %s, want a multiple of %d", at, tt.ring, flowRecords)
			}
		}
	})
}
