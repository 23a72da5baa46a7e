package main

import (
	"context"

	"github.com/spf13/cobra"

	"brokerd/client"
)

func (c *cli) detachCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "detach ID",
		Short: "End an attachment of another process",
		Long: `End an attachment, as brokerctl attachments lists them. The process that held
it gets an error at its next record or wait; what it published stays. This is for root, the
daemon's user and the group control.admin_group.`,
		Example:           "  brokerctl attachments\n  brokerctl detach md/c3.7",
		Args:              args("ID"),
		ValidArgsFunction: c.completeAttachments,
		RunE: func(cmd *cobra.Command, given []string) error {
			return c.withClient(cmd.Context(), func(ctx context.Context, conn *client.Client) error {
				if err := conn.Detach(ctx, given[0]); err != nil {
					return err
				}
				return c.print(struct{}{}, func(t *table) { t.row(given[0] + " detached") })
			})
		},
	}
}
