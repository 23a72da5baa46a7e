package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"brokerd/client"
)

func (c *cli) ringListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the rings",
		Long: `List the rings with their sizes and defaults. MEMORY is what a ring takes of the
tmpfs in all, OWNER the uid that it counts against. CONFIG is managed for a ring
of the daemon's configuration file, and unmanaged for one that was created with
ring create or has left the file. For a mirror it says of which ring on which peer.`,
		Example: "  brokerctl ring list\n  brokerctl ring list -o json | jq -r .rings[].name",
		Args:    args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(ctx context.Context, conn *client.Client) error {
				rings, err := conn.Rings(ctx)
				if err != nil {
					return err
				}
				return c.print(listOf("rings", rings), func(t *table) { ringRows(t, rings) })
			})
		},
	}
}

func ringRows(t *table, rings []client.Ring) {
	t.row("NAME", "CAPACITY", "RECORD_MAX", "PRODUCERS", "CONSUMERS_MAX", "POLICY", "DEMOTE_AFTER", "RESUME_FOR", "MEMORY", "OWNER", "CONFIG")
	for _, r := range rings {
		t.row(r.Name, formatSize(r.Capacity), formatSize(r.RecordMax), r.Producers, r.ConsumersMax, r.Policy,
			span(r.DemoteAfterNS), resumeFor(r), formatSize(r.MemoryBytes), r.Owner, managed(r))
	}
}

// managed tells whether the daemon's configuration names a ring, or what it mirrors.
func managed(r client.Ring) string {
	switch {
	case r.Mirror != nil:
		return fmt.Sprintf("mirror of %s on %s", r.Mirror.Ring, r.Mirror.Peer)
	case r.Managed:
		return "managed"
	}
	return "unmanaged"
}

// resumeFor is how long cursors outlive their reader; nothing if they do not.
func resumeFor(r client.Ring) string {
	if r.ResumeForNS == 0 {
		return ""
	}
	return span(r.ResumeForNS)
}
