package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"brokerd/client"
)

func (c *cli) attachmentsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "attachments [RING]",
		Short: "List who is attached",
		Long: `List the attachments of one ring, or of all: who holds it, since when, how far
it is and how many bytes it lags behind the producer.

STATE is attached; detached when the connection to the daemon is gone while the
process still lives; or resumable for the cursor of a named reader that has
ended, on a ring with resume_for. NOTE says until when a cursor is kept, why the
daemon has ended an attachment, and how many records had a wrong checksum.`,
		Example:           "  brokerctl attachments\n  brokerctl attachments md -o json",
		Args:              args("[RING]"),
		ValidArgsFunction: c.completeRings(1),
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
	t.row("ID", "NAME", "ROLE", "PID", "UID", "STATE", "POLICY", "POSITION", "RECORDS", "LAG", "MISSED", "SINCE", "NOTE")
	for _, a := range list {
		t.row(a.ID, a.Name, a.Role, a.PID, a.UID, a.State, policyNow(a), a.Position, a.Sequence,
			a.LagBytes, a.MissedRecords, clock(a.SinceNS), noteOn(a))
	}
}

// policyNow tells a demoted reader's policy as it was and as it is.
func policyNow(a client.Attachment) string {
	if a.Demoted {
		return string(a.Policy) + ">skip"
	}
	return string(a.Policy)
}

// noteOn is what is out of the ordinary about an attachment.
func noteOn(a client.Attachment) string {
	var notes []string
	if a.ResumeUntilNS != 0 {
		notes = append(notes, "kept until "+clock(a.ResumeUntilNS))
	}
	if a.EndedReason != "" {
		notes = append(notes, "ended: "+a.EndedReason)
	}
	if a.ChecksumErrors > 0 {
		notes = append(notes, fmt.Sprintf("%d wrong checksums", a.ChecksumErrors))
	}
	return strings.Join(notes, "; ")
}
