package main

import (
	"context"

	"github.com/spf13/cobra"

	"brokerd/client"
)

func (c *cli) attachmentsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "attachments [RING]",
		Short: "List who is attached",
		Long: `List the attachments of one ring, or of all: who holds it, since when, how far
it is and how many bytes it lags behind the producer. A state of detached means
that the connection to the daemon is gone while the process still lives.`,
		Example: "  brokerctl attachments\n  brokerctl attachments md -o json",
		Args:    args("[RING]"),
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.withClient(cmd.Context(), func(ctx context.Context, conn *client.Client) error {
				list, err := conn.Attachments(ctx, optional(given))
				if err != nil {
					return err
				}
				return c.print(listOf("attachments", list), func(t *table) { attachmentRows(t, list) })
			})
		},
	}
}

// optional is the argument that may be left out.
func optional(given []string) string {
	if len(given) == 0 {
		return ""
	}
	return given[0]
}

// listOf is the reply that bears a list under a name: [] and not null when it
// is empty.
func listOf[T any](name string, list []T) map[string][]T {
	return map[string][]T{name: append([]T{}, list...)}
}

func attachmentRows(t *table, list []client.Attachment) {
	t.row("ID", "NAME", "ROLE", "PID", "UID", "STATE", "POLICY", "POSITION", "RECORDS", "LAG", "MISSED", "SINCE")
	for _, a := range list {
		t.row(a.ID, a.Name, a.Role, a.PID, a.UID, a.State, policyNow(a), a.Position, a.Sequence,
			a.LagBytes, a.MissedRecords, clock(a.SinceNS))
	}
}

// policyNow tells a demoted reader's policy as it was and as it is.
func policyNow(a client.Attachment) string {
	if a.Demoted {
		return string(a.Policy) + ">skip"
	}
	return string(a.Policy)
}
