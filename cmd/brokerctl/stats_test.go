package main

import (
	"regexp"
	"strings"
	"testing"

	"brokerd/client"
)

func TestStatsWatch(t *testing.T) {
	h := newHost(t, "[{name: md, capacity: 64KiB}]")
	var table, lines buffer
	one, two := h.start(nil, &table, "stats", "--watch"), h.start(nil, &lines, "stats", "md", "--watch", "-o", "json")
	h.eventually("two tables", func() bool { return strings.Count(table.String(), "RING ") == 2 })
	h.eventually("two lines", func() bool { return strings.Count(lines.String(), "\n") == 2 })
	one.cancel()
	two.cancel()
	if a, b := one.wait(), two.wait(); a != exitDone || b != exitDone {
		t.Errorf("exit codes %d and %d", a, b)
	}
	for line := range strings.Lines(lines.String()) {
		decodeStrict(t, line, &client.Stats{})
	}
}

func TestRates(t *testing.T) {
	ring := client.RingStats{Name: "md", Epoch: 1, State: client.StateLive, Capacity: 1000, OccupancyBytes: 250, Sequence: 100, Position: 2000}
	reader := client.Attachment{ID: "md/c0.1", Epoch: 1, State: client.StateDetached, Policy: client.PolicyDemote, Demoted: true, EndedReason: "somebody said so", Sequence: 90}
	before := client.Stats{TimeNS: 1e9, Rings: []client.RingStats{ring}, Attachments: []client.Attachment{reader}}
	ring.Sequence, ring.Position, reader.Sequence = 300, 6000, 95
	fresh := ring
	fresh.Name = "new"
	now := client.Stats{TimeNS: 3e9, Rings: []client.RingStats{ring, fresh}, Attachments: []client.Attachment{reader}}
	var out strings.Builder
	if err := printTable(&out, func(t *table) { statsRows(t, now, &before) }); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{`md +live +300 +100 +6000 +2000 +25.0% `, `new +live +300 +- +6000 +- `, `md/c0.1 +- +detached +demote>skip +95 +2 .* ended: somebody said so$`} {
		if !regexp.MustCompile(`(?m)^` + row).MatchString(out.String()) {
			t.Errorf("no row %q in\n%s", row, out.String())
		}
	}
}
