package main

import (
	"math/rand/v2"
	"strings"
	"testing"

	"brokerd/client"
)

// details is a ring with readers, each given by its policy and its lag.
func details(capacity, position, occupancy uint64, readers ...client.Attachment) client.RingDetails {
	d := client.RingDetails{
		Ring:  client.Ring{Name: "md"},
		Stats: client.RingStats{Capacity: capacity, Position: position, OccupancyBytes: occupancy},
	}
	d.Attachments = append(d.Attachments, client.Attachment{ID: "md/p0.1", Role: client.RoleProducer})
	d.Attachments = append(d.Attachments, readers...)
	return d
}

func reader(id, name string, lag uint64, policy client.Policy, state client.AttachmentState) client.Attachment {
	return client.Attachment{ID: id, Name: name, Role: client.RoleConsumer, LagBytes: lag, Policy: policy, State: state}
}

func TestDrawing(t *testing.T) {
	for _, tc := range []struct {
		name string
		d    client.RingDetails
		want string
	}{
		{"never written", details(1<<20, 0, 0), `
md: 1MiB, 0.0% full   # held  - read  . never written
[..........................................................]
 ^ write 0
`},
		{"a quarter written, some of it held", details(1<<20, 1<<18, 1<<17, reader("md/c0.1", "risk", 1<<17, "block", "attached")), `
md: 1MiB, 12.5% full   # held  - read  . never written
[-------#######............................................]
               ^ write 262144
        ^ md/c0.1 risk, 128KiB behind, block
`},
		{"full, lapped many times", details(1<<16, 5<<20, 1<<16,
			reader("md/c1.2", "", 1<<17, "skip", "attached"), reader("md/c0.1", "top", 1<<16, "demote", "resumable"),
			reader("md/c2.9", "book", 0, "latest", "attached")), `
md: 64KiB, 100.0% full   # held  - read  . never written
[##########################################################]
                                             write 5242880 ^
                           md/c2.9 book, 0B behind, latest ^
 ^ md/c0.1 top, 64KiB behind, demote, resumable
 ^ md/c1.2, 128KiB behind, skip, overrun
`},
		{"a byte held is seen", details(1<<30, 1<<40, 1, reader("md/c0.1", "a", 1, "block", "attached")), `
md: 1GiB, 0.0% full   # held  - read  . never written
[---------------------------------------------------------#]
                                       write 1099511627776 ^
                              md/c0.1 a, 1B behind, block ^
`},
		{"a ring that cannot be read", details(0, 0, 0), ""},
	} {
		got := strings.Join(drawRing(tc.d, 60), "\n")
		if want := strings.TrimPrefix(tc.want, "\n"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", tc.name, got, want)
		}
	}
}

// TestDrawingFits draws rings of any kind for terminals of any width.
func TestDrawingFits(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 5000 {
		capacity := uint64(1) << (16 + r.IntN(16))
		position := r.Uint64() >> (16 + r.IntN(48))
		occupancy := r.Uint64N(min(position, capacity) + 1)
		name := strings.Repeat("n", r.IntN(65))
		columns := r.IntN(300)
		d := details(capacity, position, occupancy,
			reader("md/c63.4294967295", name, r.Uint64()>>r.IntN(64), "demote", "resumable"), reader("md/c0.1", "", occupancy, "block", "attached"))
		lines := drawRing(d, columns)
		width := max(columns, drawingColumnsMin)
		for _, line := range lines {
			if len(line) > width {
				t.Fatalf("%d columns:\n%s", columns, strings.Join(lines, "\n"))
			}
		}
		if len(lines) != 6 || len(lines[1]) != width || strings.Contains(lines[1], "#") != (occupancy > 0) {
			t.Fatalf("%d columns, %d of %d held: %s", columns, occupancy, capacity, strings.Join(lines, "\n"))
		}
		for _, line := range lines[2:5] {
			if strings.Count(line, "^") != 1 {
				t.Fatalf("%d columns: no mark in %q", columns, line)
			}
		}
	}
}

func TestCut(t *testing.T) {
	for columns, want := range map[int]string{0: "~", 1: "~", 3: "ab~", 4: "abcd", 5: "abcd"} {
		if got := cut("abcd", columns); got != want {
			t.Errorf("%d columns: %q", columns, got)
		}
	}
	if got := cut("µµµµ", 4); got != "µµµµ" {
		t.Errorf("letters of two bytes: %q", got)
	}
}

func TestRingShowDraws(t *testing.T) {
	h := newHost(t, oneRing)
	// 24 bytes of header and time stamp, and a multiple of 8 in all: half of the ring.
	h.publish("md", strings.Repeat(strings.Repeat("x", 1000)+"\n", 32))
	lines := strings.Split(h.good("ring", "show", "md").stdout, "\n")
	bar := "[" + strings.Repeat("-", columnsDefault/2-1) + strings.Repeat(".", columnsDefault/2-1) + "]"
	if len(lines) < 5 || lines[1] != bar || !strings.HasSuffix(lines[2], "^ write 32768") || !strings.HasPrefix(lines[4], "name ") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), bar)
	}
}
