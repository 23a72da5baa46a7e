package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"brokerd/client"
)

// statusPause is the time between two looks of status --wait-for.
const statusPause = 50 * time.Millisecond

func (c *cli) statusCommand() *cobra.Command {
	var waitFor time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the state of the daemon; 0 means ready",
		Long: `Show the state of the daemon, what it holds, what its limits are, and which
configuration file it read last, and when. "problem" is something to look at, such
as a ring that differs from what the file asks for.

Exit code 0 means ready: it has taken over the rings it found and every ring of
its configuration exists. It is 1 while the daemon starts or drains, and 3 when
it does not answer; --wait-for waits for both to pass.`,
		Example: "  brokerctl status\n  brokerctl status --wait-for 10s > /dev/null && start-strategies",
		Args:    args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if waitFor < 0 {
				return usagef("status: --wait-for %v: want 0 or more", waitFor)
			}
			return c.status(cmd.Context(), waitFor)
		},
	}
	cmd.Flags().DurationVar(&waitFor, "wait-for", 0, "how long to wait for the daemon to be ready")
	return cmd
}

func (c *cli) status(ctx context.Context, waitFor time.Duration) error {
	deadline := time.Now().Add(waitFor)
	return c.withClientFor(ctx, waitFor, func(ctx context.Context, conn *client.Client) error {
		s, err := conn.Status(ctx)
		for err == nil && s.State != client.DaemonReady && time.Now().Before(deadline) && sleepFor(ctx, statusPause) {
			s, err = conn.Status(ctx)
		}
		if err != nil {
			return err
		}
		if err := c.print(s, func(t *table) { statusRows(t, s) }); err != nil {
			return err
		}
		if s.State != client.DaemonReady {
			return waited(waitFor, fmt.Errorf("brokerd (pid %d) is %s, not ready", s.PID, s.State))
		}
		return nil
	})
}

func statusRows(t *table, s client.Status) {
	t.row("state", s.State)
	t.row("version", s.Version)
	t.row("pid", s.PID)
	t.row("started", clock(s.StartedNS))
	t.row("configuration", fileName(s.ConfigFile))
	t.row("reloaded", reloaded(s))
	t.row("dir", s.Dir)
	t.row("rings", fmt.Sprintf("%d of %d", s.Rings, s.RingsMax))
	t.row("attachments", fmt.Sprintf("%d of %d", s.Attachments, s.AttachmentsMax))
	t.row("connections", fmt.Sprintf("%d of %d", s.Connections, s.ConnectionsMax))
	t.row("memory", memory(s))
	t.row("rings adopted", s.RingsAdopted)
	t.row("repairs", s.Repairs)
	t.row("rings retired", s.Retired)
	for _, folder := range s.Quarantined {
		t.row("quarantined", folder)
	}
	for _, problem := range s.Problems {
		t.row("problem", problem)
	}
}

func memory(s client.Status) string {
	text := fmt.Sprintf("%s of %s", formatSize(s.MemoryBytes), formatSize(s.MemoryBytesMax))
	if s.QuarantinedBytes > 0 {
		text += fmt.Sprintf(", %s of it quarantined", formatSize(s.QuarantinedBytes))
	}
	return text
}

func reloaded(s client.Status) string {
	if s.ReloadedNS == 0 {
		return "never"
	}
	return clock(s.ReloadedNS)
}
