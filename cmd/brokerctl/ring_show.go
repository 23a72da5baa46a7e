package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"brokerd/client"
)

func (c *cli) ringShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show all about one ring, with a drawing of it",
		Long: `Show where the writers and readers of a ring stand, how it was made, who may use
it, what it has done since, and who is attached. "problem" is something to look at,
such as a producer that has held a claim open for long. Positions are bytes since the
ring's epoch began, headers and padding included; records counts what was
published.

The bar is the capacity of the ring, with the oldest bytes on the left: "#" is held
for the slowest block or demote reader, "-" has been read by all of those and is
still there, "." was never written. The mark under it called "write" is where the
next record goes, the others are where each reader stands. A ring whose bar is "#"
from end to end is full: whoever is on the far left holds the producers.`,
		Example:           "  brokerctl ring show md\n  brokerctl ring show md -o json",
		Args:              args("NAME"),
		ValidArgsFunction: c.completeRings(1),
		SuggestFor:        []string{"describe", "info", "get"},
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.withClient(cmd.Context(), func(ctx context.Context, conn *client.Client) error {
				d, err := conn.DescribeRing(ctx, given[0])
				if err != nil {
					return err
				}
				return c.print(d, func(t *table) {
					t.lines(drawRing(d, columnsOf(c.stdout)))
					detailRows(t, d)
				})
			})
		},
	}
}

func detailRows(t *table, d client.RingDetails) {
	r, s := d.Ring, d.Stats
	t.row("name", r.Name)
	t.row("state", s.State)
	t.row("epoch", r.Epoch)
	t.row("created", clock(r.CreatedNS))
	t.row("owner", fmt.Sprintf("uid %d", r.Owner))
	t.row("config", managed(r))
	t.row("capacity", formatSize(r.Capacity))
	t.row("record_max", formatSize(r.RecordMax))
	t.row("memory", formatSize(r.MemoryBytes))
	t.row("producers", r.Producers)
	t.row("consumers_max", r.ConsumersMax)
	t.row("timestamps", yesNo(r.Timestamps))
	t.row("checksum", yesNo(r.Checksum))
	t.row("policy", r.Policy)
	t.row("demote_after", span(r.DemoteAfterNS))
	t.row("resume_for", resumeFor(r))
	t.row("allow.produce", who(r.Allow.Produce))
	t.row("allow.consume", who(r.Allow.Consume))
	t.row("allow.gate", who(r.Allow.Gate))
	t.row("records", s.Sequence)
	t.row("position", s.Position)
	t.row("full", full(s))
	t.row("gaps", s.GapRecords)
	t.row("held", span(int64(s.HeldNS)))
	t.row("dropped", s.DroppedRecords)
	t.row("demotions", s.Demotions)
	for _, problem := range d.Problems {
		t.row("problem", problem)
	}
	if len(d.Attachments) > 0 {
		t.gap()
		attachmentRows(t, d.Attachments)
	}
}

// who lists those who have a right besides the daemon's user and root.
func who(p *client.Principals) string {
	if p == nil || len(p.Users)+len(p.Groups) == 0 {
		return "the daemon's user and root"
	}
	var parts []string
	if len(p.Users) > 0 {
		parts = append(parts, "users "+strings.Join(p.Users, ", "))
	}
	if len(p.Groups) > 0 {
		parts = append(parts, "groups "+strings.Join(p.Groups, ", "))
	}
	return strings.Join(parts, "; ")
}
