package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"brokerd/client"
)

func (c *cli) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the state of the daemon; 0 means ready",
		Long: `Show the state of the daemon, what it holds and what its limits are.

Exit code 0 means ready: it has taken over the rings it found and every ring of
its configuration exists. It is 1 while the daemon starts or drains, and 3 when
it does not answer.`,
		Example: "  brokerctl status\n  until brokerctl status > /dev/null 2>&1; do sleep 0.1; done",
		Args:    args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withClient(cmd.Context(), func(ctx context.Context, conn *client.Client) error {
				s, err := conn.Status(ctx)
				if err != nil {
					return err
				}
				if err := c.print(s, func(t *table) { statusRows(t, s) }); err != nil {
					return err
				}
				if s.State != client.DaemonReady {
					return fmt.Errorf("brokerd (pid %d) is %s, not ready", s.PID, s.State)
				}
				return nil
			})
		},
	}
}

func statusRows(t *table, s client.Status) {
	t.row("state", s.State)
	t.row("version", s.Version)
	t.row("pid", s.PID)
	t.row("started", clock(s.StartedNS))
	t.row("dir", s.Dir)
	t.row("rings", fmt.Sprintf("%d of %d", s.Rings, s.RingsMax))
	t.row("attachments", fmt.Sprintf("%d of %d", s.Attachments, s.AttachmentsMax))
	t.row("connections", fmt.Sprintf("%d of %d", s.Connections, s.ConnectionsMax))
	t.row("memory", fmt.Sprintf("%s of %s", formatSize(s.MemoryBytes), formatSize(s.MemoryBytesMax)))
	t.row("rings adopted", s.RingsAdopted)
	t.row("repairs", s.Repairs)
	for _, folder := range s.Quarantined {
		t.row("quarantined", folder)
	}
	for _, problem := range s.Problems {
		t.row("problem", problem)
	}
}
